/**
 * For both threads.
 *
 * What the two threads of a relay say to each other. Types only: the worker's files are JavaScript and import no TypeScript.
 */
import type { LookupAddress } from 'node:dns';
import type { ConnectionOptions as TlsOptions, SecureVersion } from 'node:tls';
import type { MessagePort } from 'node:worker_threads';

/** How the worker paces the heartbeats of one link; the timeout itself is in the tune-ok that passes through it. */
export interface RelayPace {
  /** Send after this part of the timeout in silence. */
  readonly sendAfterTimeouts: number;
  /** And after this many milliseconds at the latest, whatever the timeout; null: no such limit. */
  readonly sendWithinMs: number | null;
  /** The broker is dead after so many timeouts without a byte. */
  readonly deadAfterTimeouts: number;
}

/** What becomes of a link when the main loop has been blocked for too long. */
export type OnStallLimit = 'close' | 'silence';

/** One link to open. */
export interface RelayDial {
  readonly host: string;
  /** What the host's name stands for, best first; left out: the worker looks it up. */
  readonly addresses?: readonly LookupAddress[];
  readonly port: number;
  /** Options of node:tls; null: plain TCP. */
  readonly tls: TlsOptions | null;
  readonly timeoutMs: number;
  readonly pace: RelayPace;
  readonly maxStallMs: number;
  readonly onStallLimit: OnStallLimit;
  readonly defaults: RelayDefaults;
}

/** A dial as it is asked for; the defaults are those of the moment it goes to the worker. */
export type RelayRequest = Omit<RelayDial, 'defaults'>;

/** Where the options of a dial say nothing. */
export interface RelayDefaults {
  readonly resultOrder: 'ipv4first' | 'ipv6first' | 'verbatim';
  readonly autoSelectFamily: boolean;
  readonly autoSelectFamilyAttemptTimeoutMs: number;
  readonly minVersion: SecureVersion;
  readonly maxVersion: SecureVersion;
  readonly ciphers: string;
  readonly ecdhCurve: string;
  /** NODE_TLS_REJECT_UNAUTHORIZED, which Node reads at every dial. */
  readonly rejectUnauthorized: string | undefined;
  /** Certificates in the place of those that the worker trusts, PEM; null: no change. */
  readonly newlyTrusted: readonly string[] | null;
}

export type ToWorker =
  | { readonly type: 'dial'; readonly id: number; readonly dial: RelayDial; readonly memory: Int32Array }
  /** The main thread will not come through the door, or its socket is gone. */
  | { readonly type: 'abandon'; readonly id: number }
  /** No further dial: abandon the links that are left, and end. */
  | { readonly type: 'end' };

export type FromWorker =
  /** All of it has run once: from here on it hears. */
  | { readonly type: 'loaded' }
  /** The broker has accepted; one connection to `path` from this process is connected through. */
  | { readonly type: 'ready'; readonly id: number; readonly path: string }
  | { readonly type: 'dial-failed'; readonly id: number; readonly error: PlainError }
  | { readonly type: 'lost'; readonly id: number; readonly reason: LossReason }
  /** Nothing more comes about this link. */
  | { readonly type: 'over'; readonly id: number };

/** Why a link ended that this process did not end. */
export type LossReason =
  | { readonly kind: 'broker-closed' }
  | { readonly kind: 'failed'; readonly error: PlainError }
  | { readonly kind: 'peer-dead'; readonly silentForMs: number; readonly timeoutMs: number }
  | { readonly kind: 'stall-limit'; readonly stalledForMs: number }
  /** While we held as much as we may for a main loop that stood still. */
  | { readonly kind: 'unread'; readonly stalledForMs: number };

/** An error of node:net or node:tls with the fields that say what happened, in a form that survives the way. */
export interface PlainError {
  readonly message: string;
  readonly code?: string;
  readonly syscall?: string;
  readonly address?: string;
  readonly port?: number;
  readonly reason?: string;
}

/** Given to the worker at its start. */
export interface RelayWorkerData {
  readonly pulse: Int32Array;
  readonly doors: DoorPlace;
  readonly port: MessagePort;
}

/** Where the local doors of one thread are. */
export interface DoorPlace {
  readonly parent: string;
  /** The folders' names begin so. */
  readonly prefix: string;
  /** One word: how many there are now. */
  readonly open: Int32Array;
}
