/**
 * Which refusals of the API server a type can make as well, by the server's messages.
 * @module
 */

/** What a type can refuse. */
const sayable =
  /unknown field|Required value|Unsupported value|in body must be of type (?:string|integer|number|boolean|array|object|null)\b|must validate|must not validate|cannot be handled as/;
/** What no type can refuse: bounds, patterns, formats and CEL; a union can fail for them as well. */
const beyondTypes =
  /should (?:match|be|have)|in body must be of type (?!string|integer|number|boolean|array|object|null)|Too (?:long|many|few)|may not be more|Duplicate value/;

/** Whether the server's message names something that a type can refuse. */
export function isSayable(message: string): boolean {
  const isUnion = /must validate|must not validate/.test(message);
  if (
    isUnion && beyondTypes.test(message) && !/unknown field|Required value|Unsupported value/.test(message)
  ) return false;
  return sayable.test(message);
}
