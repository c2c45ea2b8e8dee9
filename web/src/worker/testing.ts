/** A gateway in memory: a real connect-web client over a router, with streams a test drives. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import {
  DashboardService,
  type WatchSessionRequest,
  type WatchSessionResponseSchema,
  type WatchSessionsResponseSchema,
} from "../gen/trainmon/v1/dashboard_pb";
import type { DashboardClient } from "../rpc/client";
import type { FromTab, Port, ToTab } from "./protocol";

type Event = MessageInitShape<typeof WatchSessionResponseSchema>;
type ListEvent = MessageInitShape<typeof WatchSessionsResponseSchema>;

/** Messages put in by a test and taken out by a stream; ends with an error when told to. */
export class Channel<T> {
  private readonly items: T[] = [];
  private wake: () => void = () => undefined;
  private failure: ConnectError | undefined;
  closed = false;

  push(item: T): void {
    this.items.push(item);
    this.wake();
  }

  fail(error: ConnectError): void {
    this.failure = error;
    this.wake();
  }

  async *read(signal: AbortSignal): AsyncGenerator<T> {
    signal.addEventListener("abort", () => {
      this.closed = true;
      this.wake();
    });
    while (!signal.aborted) {
      const item = this.items.shift();
      if (item !== undefined) yield item;
      else if (this.failure !== undefined) throw this.failure;
      else {
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
      }
    }
  }
}

export interface Opened {
  request: WatchSessionRequest;
  channel: Channel<Event>;
}

/** What a gateway is asked, and the streams it opened, in order. */
export class FakeGateway {
  readonly opened: Opened[] = [];
  readonly list = new Channel<ListEvent>();
  readonly commandIds: string[] = [];
  /** Fails so many calls of SendCommand before one is answered. */
  failCommands = 0;
  refusal: ConnectError | undefined;
  /** Fails so many calls of ListSessions before one is answered. */
  failLists = 0;
  readonly deleted: string[] = [];
  /** Calls of QueryMetrics so far. */
  queries = 0;
  queryRefusal: ConnectError | undefined;
  /** Set, queries are answered only once it is called. */
  releaseQueries: (() => void) | undefined;
  private released: Promise<void> = Promise.resolve();

  client(): DashboardClient {
    const transport = createRouterTransport(({ service }) => {
      service(DashboardService, {
        listSessions: () => this.answerList(),
        watchSessions: (_request, context) => this.list.read(context.signal),
        watchSession: (request, context) => this.watch(request, context.signal),
        sendCommand: ({ command }) => this.take(command?.commandId ?? ""),
        queryMetrics: () => this.answerQuery(),
        getBatch: () => ({ batchData: { globalStep: 5n } }),
        deleteSession: ({ sessionId }) => {
          this.deleted.push(sessionId);
          return {};
        },
      });
    });
    return createClient(DashboardService, transport);
  }

  private watch(request: WatchSessionRequest, signal: AbortSignal): AsyncGenerator<Event> {
    const channel = new Channel<Event>();
    this.opened.push({ request, channel });
    return channel.read(signal);
  }

  private answerList() {
    if (this.failLists-- > 0) throw new ConnectError("busy", Code.Unavailable);
    return { timestampMs: BigInt(Date.now()) };
  }

  /** Answer no query before `releaseQueries` is called. */
  holdQueries(): void {
    this.released = new Promise((resolve) => {
      this.releaseQueries = resolve;
    });
  }

  private async answerQuery() {
    this.queries += 1;
    if (this.queryRefusal) throw this.queryRefusal;
    await this.released;
    return { series: [{ name: "loss", steps: [1] }] };
  }

  private take(commandId: string) {
    this.commandIds.push(commandId);
    if (this.refusal) throw this.refusal;
    if (this.failCommands > 0) {
      this.failCommands -= 1;
      throw new ConnectError("the monitor is away", Code.Unavailable);
    }
    return { command: { commandId } };
  }
}

/** A tab's end of a port. */
export class FakeTab implements Port {
  readonly heard: ToTab[] = [];
  onmessage: ((event: MessageEvent<FromTab>) => void) | null = null;

  postMessage(message: ToTab): void {
    this.heard.push(message);
  }

  say(message: FromTab): void {
    this.onmessage?.({ data: message } as MessageEvent<FromTab>);
  }

  /** What was heard of one kind. */
  of<K extends ToTab["type"]>(type: K): Extract<ToTab, { type: K }>[] {
    return this.heard.filter((one) => one.type === type) as Extract<ToTab, { type: K }>[];
  }

  want(sessionId: string, framesPerSecond = 60, visible = true): void {
    this.say({ type: "want", want: { sessionId, framesPerSecond, tileSize: 128, visible } });
  }
}
