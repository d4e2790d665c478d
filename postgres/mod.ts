/**
 * From a Database to the objects and texts that make it run, and back from what Patroni reports to one picture.
 *
 * Pure functions: no Kubernetes call, no clock, no randomness. Read in this order: names.ts (what things are called),
 * database.ts (what is asked for), then one file for each kind of object, patroni.ts and dynamic_config.ts (how
 * PostgreSQL is run), backups.ts (how its data is kept
 * elsewhere), observe.ts and sight.ts (what is there), plan.ts (what a Database owns), decide.ts (what comes next) and
 * status.ts (what to tell).
 * @module
 */
export * from "./agent.ts";
export * from "./backup_report.ts";
export * from "./backup_scripts.ts";
export * from "./backups.ts";
export * from "./claims.ts";
export * from "./credentials.ts";
export * from "./credentials_agent.ts";
export * from "./database.ts";
export * from "./decide.ts";
export * from "./disruption_budget.ts";
export * from "./drill.ts";
export * from "./dynamic_config.ts";
export * from "./failover.ts";
export * from "./final_backup.ts";
export * from "./foreign_names.ts";
export * from "./measurements.ts";
export * from "./monitoring.ts";
export * from "./names.ts";
export * from "./network_policy.ts";
export * from "./observe.ts";
export * from "./parameters.ts";
export * from "./patroni.ts";
export * from "./patroni_state.ts";
export * from "./plan.ts";
export * from "./pod_template.ts";
export * from "./quantity.ts";
export * from "./rbac.ts";
export * from "./repository.ts";
export * from "./repository_claim.ts";
export * from "./requests.ts";
export * from "./restore.ts";
export * from "./restore_source.ts";
export * from "./security.ts";
export * from "./services.ts";
export * from "./sight.ts";
export * from "./situation.ts";
export * from "./stateful_set.ts";
export * from "./status.ts";
export * from "./tls.ts";
export * from "./tls_agent.ts";
export * from "./trouble.ts";
export * from "./upgrade.ts";
export * from "./upgrade_changes.ts";
export * from "./users.ts";
export * from "./users_agent.ts";
export * from "./versions.ts";
