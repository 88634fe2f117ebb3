import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { NumbersModule } from './numbers.module.js';

const app = await NestFactory.createApplicationContext(NumbersModule, { logger: ['warn', 'error'] });
app.enableShutdownHooks();
console.log('Primes are counted.');
