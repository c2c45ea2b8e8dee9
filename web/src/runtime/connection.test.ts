import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { FromTab } from "../worker/protocol";
import { Connection } from "./connection";

/** The far ends of the ports that a page opened, one for each worker it started. */
const workers: MessagePort[] = [];
let page: EventTarget;

beforeEach(() => {
  vi.useFakeTimers();
  page = new EventTarget();
  vi.stubGlobal("window", page);
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

it("asks again what was under way when the page was put aside, and what it wants to see", async () => {
  const connection = new Connection();
  connection.open();
  const want = { sessionId: "a", framesPerSecond: 60, tileSize: 128, visible: true };
  connection.setWant(want);
  const request = { sessionId: "a", command: { commandId: "b" } };
  void connection.call("sendCommand", request);
  page.dispatchEvent(new Event("pagehide"));
  page.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
  expect(workers).toHaveLength(2);
  const heard: FromTab[] = [];
  const call = await new Promise<FromTab>((resolve) => {
    const [, worker] = workers;
    if (worker === undefined) throw new Error("no worker was started");
    worker.onmessage = (event: MessageEvent<FromTab>) => {
      heard.push(event.data);
      if (event.data.type === "call") resolve(event.data);
    };
  });
  expect(call).toMatchObject({ name: "sendCommand", request });
  expect(heard[0]).toEqual({ type: "want", want });
  connection.close();
});

it("starts a worker of its own where the browser's one is refused", () => {
  const started: URL[] = [];
  vi.stubGlobal(
    "SharedWorker",
    class {
      constructor() {
        throw new DOMException("Access is denied", "SecurityError");
      }
    },
  );
  vi.stubGlobal(
    "Worker",
    class {
      constructor(url: URL) {
        started.push(url);
      }
      postMessage(_message: unknown, [port]: MessagePort[]): void {
        if (port) workers.push(port);
      }
      terminate(): void {}
    },
  );
  const connection = new Connection();
  connection.open();
  expect(started).toHaveLength(1);
  connection.close();
});

it("lives where locks are refused", async () => {
  const refused = Promise.reject(new DOMException("Access is denied", "SecurityError"));
  vi.stubGlobal("navigator", { locks: { request: () => refused } });
  const connection = new Connection();
  connection.open();
  await refused.catch(() => undefined);
  expect(workers).toHaveLength(1);
  connection.close();
});
