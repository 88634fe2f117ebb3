/**
 * What the pages of the documentation speak of and do not show: a shop's events, services and data. Declared, never run.
 * A name that a new snippet needs belongs here.
 */
import type { INestApplication } from '@nestjs/common';
import type { RmqOptions } from '@nestjs/microservices';
import type { HealthCheckService } from '@nestjs/terminus';
import {
  defineEvent,
  defineRpc,
  type Delivery,
  type EventPayload,
  type RmqConnection,
  type RmqDeadLetters,
  type RmqPublisher,
  type RmqRpcClient,
  type StandardSchema,
} from 'nestjs-rmq-keepalive';
import type { RmqHealthIndicator } from 'nestjs-rmq-keepalive/terminus';
import type { RmqTestHarness } from 'nestjs-rmq-keepalive/testing';

export interface Order {
  id: string;
}
export interface OrderChanged {
  orderId: string;
}
export interface Payment {
  account: string;
}
export interface Picture {
  url: string;
}
export interface View {
  page: string;
}
export interface Event {
  id: string;
}
export interface Query {
  where: string;
}
export interface Job {
  id: string;
}
export interface Price {
  cents: number;
}
export interface Row {
  id: number;
}
export declare class Stock {
  count(item: string): Promise<number>;
}
export class BadOrder extends Error {}
export declare class AppModule {}
/** The mark of an application's global guard. */
export declare const Public: () => MethodDecorator & ClassDecorator;
export declare function pack(value: unknown): Uint8Array;
export declare function unpack(bytes: Uint8Array): unknown;

const address = { exchange: 'shop', routingKey: 'order.created' };
export const orderCreated = defineEvent<Order>(address);
export const orderDeleted = defineEvent<Order>(address);
export const orderShipped = defineEvent<Order>(address);
export const orderPlaced = defineEvent<Order>(address);
export const orderImported = defineEvent<Order>(address);
export const orderChanged = defineEvent<OrderChanged>(address);
export const paymentMade = defineEvent<Payment>(address);
export type OrderCreated = EventPayload<typeof orderCreated>;
export type OrderDeleted = EventPayload<typeof orderDeleted>;
export type OrderPlaced = EventPayload<typeof orderPlaced>;

export const quote = defineRpc<{ item: string; quantity: number }, { cents: number }>({ queue: 'quotes' });
export declare const orderSchema: StandardSchema<Order>;
export declare const connection: RmqConnection;
export declare const publisher: RmqPublisher;
export declare const harness: RmqTestHarness;
export declare const rpc: RmqRpcClient;
export declare const deadLetters: RmqDeadLetters;
export declare const logger: { log(text: string): void; error(text: string): void };
export declare const metrics: { stall(ms: number): void };
export declare const alerts: { raise(...facts: unknown[]): void };
export declare const secret: string;
export declare const secrets: { get(name: string): Promise<string> };
export declare const discovery: { brokers(): Promise<string[]> };
export declare const tokens: { fetch(): Promise<{ value: string; exp: number }> };
export declare const order: Order;
export declare const orders: Order[];
export declare const rows: Order[];
export declare const app: INestApplication;
export declare const options: NonNullable<RmqOptions['options']>;
export declare const id: string;
export declare const item: string;
export declare const headers: Record<string, unknown>;
export declare function work(job: unknown): Promise<void>;
export declare const query: Query;
export declare const report: unknown;
export declare const tenant: string;
export declare const url: string;
export declare const store: {
  lastOffset(stream: string): Promise<number>;
  apply(event: Event, offset?: number): Promise<void>;
};
export declare function show(row: Row): void;
export declare function offerLess(data: unknown): void;
export declare function retryLater(row: Order, error: Error): void;

/** Of Nest's config package, which nobody has to install for this. */
export declare class ConfigService {
  getOrThrow(name: string): string;
}

interface Transaction {
  query(text: string, values?: unknown[]): Promise<unknown>;
}

/** The class that the methods on the pages belong to. */
export declare class Surroundings {
  readonly connection: RmqConnection;
  readonly publisher: RmqPublisher;
  readonly rpc: RmqRpcClient;
  readonly deadLetters: RmqDeadLetters;
  readonly healthCheck: HealthCheckService;
  readonly rmqHealth: RmqHealthIndicator;
  readonly encoder: { add(picture: Picture, done: (error?: Error) => void): void };
  readonly database: {
    insert(views: View[], options: { signal: AbortSignal }): Promise<void>;
    cursor(query: Query, options: { signal: AbortSignal }): AsyncIterable<Row>;
    insertEach(views: View[]): Promise<{ ok: boolean }[]>;
  };
  readonly stock: Stock;
  readonly prices: { of(item: string): number };
  readonly tenants: { isReady(tenant: string): Promise<boolean> };
  readonly ledger: { book(payment: Payment): Promise<void> };
  readonly payments: { charge(order: Order): Promise<{ status: number }> };
  readonly inbox: { once(delivery: Delivery, work: (transaction: Transaction) => Promise<void>): Promise<void> };
}
