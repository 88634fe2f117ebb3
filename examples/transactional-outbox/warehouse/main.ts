import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { WarehouseModule } from './warehouse.module.js';

const app = await NestFactory.createApplicationContext(WarehouseModule, { logger: ['warn', 'error'] });
app.enableShutdownHooks();
console.log('The warehouse ships.');
