"use client";
import { useEffect, useState } from "react";
import { Connection } from "../runtime/connection";
import { loadPreferences } from "../runtime/preferences";
import { Sessions } from "../runtime/sessions";
import { useSessionId } from "../ui/route";
import { followTheme } from "../ui/theme";
import { RunView } from "./RunView";
import { SessionListView } from "./SessionListView";

interface Services {
  connection: Connection;
  sessions: Sessions;
}

/** The whole page: the list of sessions, or one of them. */
export function Dashboard() {
  const sessionId = useSessionId();
  const [services, setServices] = useState<Services>();

  useEffect(() => {
    loadPreferences();
    const undoTheme = followTheme();
    const connection = new Connection();
    const sessions = new Sessions(connection);
    connection.open();
    setServices({ connection, sessions });
    return () => {
      connection.close();
      undoTheme();
    };
  }, []);

  if (services === undefined || sessionId === undefined) {
    return <main className="blank" aria-busy="true" />;
  }
  if (sessionId === "") return <SessionListView {...services} />;
  return <RunView key={sessionId} sessionId={sessionId} {...services} />;
}
