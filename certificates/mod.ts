/**
 * Certificates: the one place that knows X.509. operator.ts hands it to postgres/ as a port.
 * @module
 */
export * from "./x509.ts";
