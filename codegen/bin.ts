#!/usr/bin/env node
/**
 * The command of the package `crd-codegen`: {@link main} with this process's arguments.
 * @module
 */
import process from "node:process";
import { main } from "./main.ts";

process.exitCode = await main(process.argv.slice(2));
