/** Runs as the one SharedWorker of a browser or, where there is none, as a tab's own Worker. */
import { createDashboardClient } from "../rpc/client";
import { Hub } from "./hub";
import type { Port } from "./protocol";

interface WorkerScope {
  onconnect: ((event: MessageEvent) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
}

const hub = new Hub(createDashboardClient(self.location.origin));
const scope = self as unknown as WorkerScope;

function attach(event: MessageEvent): void {
  const port: Port | undefined = event.ports[0];
  if (port !== undefined) hub.attach(port);
}

scope.onconnect = attach;
scope.onmessage = attach;
