import { Dashboard } from "../panels/Dashboard";

export default function Page() {
  return <Dashboard />;
}
