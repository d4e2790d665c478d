/**
 * The runtime's promises on the API server that KUBECONFIG names; see target.ts for FAULTS.
 * @module
 */

import { conformance } from "./suite.ts";
import { openReal } from "./target.ts";

conformance(openReal);
