import { Module } from '@nestjs/common';
import { OutboxAlarm } from './outbox-alarm.js';
import { OutboxRelay } from './outbox-relay.js';
import { Outbox } from './outbox.js';

/** For whoever writes messages. The relay runs along; several processes may have one. */
@Module({ providers: [Outbox, OutboxAlarm, OutboxRelay], exports: [Outbox] })
export class OutboxModule {}
