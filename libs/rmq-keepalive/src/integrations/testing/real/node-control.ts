/** What an operator does to a whole node: every vhost and every client feels it, until it is undone. */
import { BrokerControl } from './broker-control.js';

export abstract class NodeControl extends BrokerControl {
  /** Closes the AMQP listeners: new connections are refused, open ones stay. */
  async suspendListeners(): Promise<void> {
    await this.control('rabbit_maintenance:suspend_all_client_listeners()');
  }

  async resumeListeners(): Promise<void> {
    await this.control('rabbit_maintenance:resume_all_client_listeners()');
  }

  /** Heartbeat timeout proposed to connections from now on, in seconds; 0 proposes none. */
  async setServerHeartbeat(seconds: number): Promise<void> {
    await this.control(`application:set_env(rabbit, heartbeat, ${integer(seconds)})`);
  }

  /**
   * How long a consumer may hold a delivery, for channels opened from now on; the channel is closed with 406 at the next
   * check after that (checks come every second then).
   */
  async setConsumerTimeout(milliseconds: number): Promise<void> {
    await this.control(`
      application:set_env(rabbit, consumer_timeout, ${integer(milliseconds)}),
      application:set_env(rabbit, channel_tick_interval, 1000)`);
  }

  /**
   * Raises or clears the memory alarm: publishing connections are blocked while it lasts. When this resolves, every connection
   * has been told: the broker only notes an alarm, and a publish that came before the word of it would not be blocked. What
   * asks the same process for its alarms is answered after that.
   */
  async setMemoryAlarm(alarm: 'on' | 'off'): Promise<void> {
    const change =
      alarm === 'on'
        ? 'rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []})'
        : 'rabbit_alarm:clear_alarm({resource_limit, memory, node()})';
    await this.control(`${change}, rabbit_alarm:get_alarms()`);
  }

  /**
   * What `rabbitmqctl set_vm_memory_high_watermark` does: a share of the machine's memory, or `{ bytes }`. The broker looks at
   * once whether it is above, and raises or clears its alarm by itself.
   */
  async setMemoryHighWatermark(limit: number | { bytes: number }): Promise<void> {
    const term = typeof limit === 'number' ? limit.toFixed(4) : `{absolute, ${integer(limit.bytes)}}`;
    await this.control(`vm_memory_monitor:set_vm_memory_high_watermark(${term})`);
  }
}

function integer(value: number): string {
  if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is not a whole number`);
  return `${value}`;
}
