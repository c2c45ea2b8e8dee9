import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { DashboardService } from "../gen/trainmon/v1/dashboard_pb";

export type DashboardClient = Client<typeof DashboardService>;

/** A client of the gateway that served this page: binary gRPC-Web, same origin, no deadline. */
export function createDashboardClient(origin: string): DashboardClient {
  return createClient(DashboardService, createGrpcWebTransport({ baseUrl: origin }));
}
