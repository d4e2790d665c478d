/**
 * The runtime's promises on the embedded API, over its socket.
 * @module
 */

import { conformance } from "./suite.ts";
import { openEmbedded } from "./target.ts";

conformance(openEmbedded);
