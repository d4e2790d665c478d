/**
 * The runtime's promises on the embedded API, over its socket; those of leaders are in leaders.test.ts.
 * @module
 */

import { alone, conformance } from "./suite.ts";
import { openEmbedded } from "./target.ts";

conformance("conformance", openEmbedded, alone);
