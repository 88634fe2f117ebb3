import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { ConfirmationsModule } from './confirmations.module.js';

const app = await NestFactory.createApplicationContext(ConfirmationsModule, { logger: ['warn', 'error'] });
app.enableShutdownHooks();
console.log('Confirmations are mailed.');
