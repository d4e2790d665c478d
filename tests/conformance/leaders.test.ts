/**
 * What the runtime promises of leaders, on the embedded API. They mostly wait: others can run meanwhile.
 * @module
 */

import { leaderElection } from "./leaders.ts";
import { conformance } from "./suite.ts";
import { openEmbedded } from "./target.ts";

conformance("conformance of leaders", openEmbedded, [leaderElection]);
