/**
 * The runtime's promises on the API server that KUBECONFIG names; see target.ts for FAULTS.
 * @module
 */

import { leaderElection } from "./leaders.ts";
import { alone, conformance } from "./suite.ts";
import { openReal } from "./target.ts";

conformance("conformance", openReal, [...alone, leaderElection]);
