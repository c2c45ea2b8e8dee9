import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { FromTab } from "../worker/protocol";
import { Connection } from "./connection";

/** The far ends of the ports that a page opened, one for each worker it started. */
const workers: MessagePort[] = [];

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("window", { addEventListener: () => {}, removeEventListener: () => {} });
  vi.stubGlobal("navigator", {});
  vi.stubGlobal(
    "SharedWorker",
    class {
      readonly port: MessagePort;
      constructor() {
        const { port1, port2 } = new MessageChannel();
        this.port = port1;
        workers.push(port2);
      }
    },
  );
});

afterEach(() => {
  for (const port of workers.splice(0)) port.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Resolves with the first call that a worker is asked for. */
function firstCall(worker: MessagePort | undefined): Promise<FromTab & { type: "call" }> {
  return new Promise((resolve) => {
    if (worker === undefined) throw new Error("no worker was started");
    worker.onmessage = (event: MessageEvent<FromTab>) => {
      if (event.data.type === "call") resolve({ ...event.data });
    };
  });
}

it("asks a new worker what the silent one was asked", async () => {
  const connection = new Connection();
  connection.open();
  const request = { sessionId: "a", command: { commandId: "b" } };
  const answered = connection.call("sendCommand", request);
  vi.advanceTimersByTime(12_000);
  expect(workers).toHaveLength(2);
  const call = await firstCall(workers[1]);
  expect(call).toMatchObject({ name: "sendCommand", request });
  const record = { state: 3 };
  workers[1]?.postMessage({ type: "answer", id: call.id, answer: record });
  await expect(answered).resolves.toEqual(record);
  connection.close();
});
