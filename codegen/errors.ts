/**
 * What goes wrong for reasons the user can do something about.
 * @module
 */

/**
 * Bad input, named as exactly as it is known: file, document, CustomResourceDefinition, path in the schema.
 *
 * Everything else that is thrown by this library is a defect of the library.
 */
export class InputError extends Error {
  override name = "InputError";
  readonly place: readonly string[];

  /**
   * @param message what was attempted, on what, what was found
   * @param place where it was found, outermost first: `["crd.yaml", "document 2"]`
   */
  constructor(message: string, place: readonly string[] = [], options?: ErrorOptions) {
    super([...place, message].join(": "), options);
    this.place = place;
  }
}
