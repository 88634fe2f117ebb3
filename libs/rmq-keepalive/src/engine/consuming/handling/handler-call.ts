/**
 * How the handler of a subscription is called: composed once for each consumer. Without anything around it that is the
 * handler itself.
 *
 * Choice: the gate (deduplication) stands outside of the arounds, and the handler's time begins between the two. A message
 * must not be remembered as handled before everything around its handler has succeeded: an around may be what commits.
 */
import { AsyncContext } from '../../base/async-context.js';
import { calledAround, type Handled } from '../delivery/around.js';
import { DeliveryBatch } from '../delivery/delivery-batch.js';
import type { Delivery } from '../delivery/delivery.js';
import type { DeliveryWatch } from '../delivery/watch.js';
import type { WantedSubscription } from '../options/subscription.js';
import type { HandlerRun } from './handler-run.js';

type HandledSubscription = Pick<WantedSubscription, 'handler' | 'around' | 'watch' | 'answers' | 'gate'>;

export type HandlerCall = (run: HandlerRun, now: number) => unknown;

interface HandlerCallHears {
  /** The handler's time begins. */
  began(run: HandlerRun, now: number): void;
  /** One waits, and not for a handler. */
  waits(): void;
  now(): number;
}

export function handlerCall(
  { handler, around, watch, answers, gate }: HandledSubscription,
  hears: HandlerCallHears,
): HandlerCall {
  const surrounded: HandlerCall =
    around === undefined
      ? (run, now) => {
          hears.began(run, now);
          return handler(run.payload, run.context);
        }
      : (run, now) => {
          hears.began(run, now);
          return calledAround(around, handledBy(run), () => {
            // What follows the handler, a copy for a retry, say, belongs to where the arounds have put it.
            run.asyncContext = new AsyncContext();
            return handler(run.payload, run.context);
          });
        };
  const watched = watch === undefined ? surrounded : underWatch(surrounded, watch, answers !== undefined);
  if (gate === undefined) return watched;
  return (run) => {
    hears.waits();
    return calledAround(gate, handledBy(run), () => watched(run, hears.now()));
  };
}

/** Whoever watches stands outside of the arounds: what they do belongs to the handling. */
function underWatch(call: HandlerCall, watch: DeliveryWatch, isRequest: boolean): HandlerCall {
  return (run, now) => {
    const { deliveries, context } = run;
    const kind = context instanceof DeliveryBatch ? 'batch' : isRequest ? 'request' : 'message';
    return watch.handle({ deliveries, kind }, (how) => {
      if (how === 'noted') run.asyncContext = new AsyncContext();
      return call(run, now);
    });
  };
}

function handledBy({ deliveries, context }: HandlerRun): Handled {
  return { delivery: deliveries[0] as Delivery, batch: context instanceof DeliveryBatch ? context : undefined };
}
