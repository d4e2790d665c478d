import { test } from "uvu";
import * as assert from "uvu/assert";
import * as der from "../../postgres/der.ts";

const hex = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const bytes = (hexadecimal: string) =>
  Uint8Array.from(hexadecimal.match(/../g) ?? [], (digits) => parseInt(digits, 16));
const text = ({ content }: der.Value) => new TextDecoder().decode(content);

test("a length has one byte up to 127, and as few as it needs above", () => {
  for (
    const [length, head] of [
      [0, "0400"],
      [127, "047f"],
      [128, "048180"],
      [255, "0481ff"],
      [256, "04820100"],
      [65_536, "0483010000"],
    ] as const
  ) {
    const value = der.write(der.tag.octetString, new Uint8Array(length));
    assert.is(hex(value.subarray(0, head.length / 2)), head);
    assert.equal(der.read(value).map(({ content }) => content.length), [length]);
  }
});

test("object identifiers are written as X.690 says, and read back", () => {
  for (
    const [dotted, encoded] of [
      ["1.2.840.113549.1.1.11", "06092a864886f70d01010b"],
      ["1.2.840.10045.4.3.2", "06082a8648ce3d040302"],
      ["2.5.29.15", "0603551d0f"],
      ["2.999.3", "0603883703"], // the example of X.690, 8.19.5
      ["0.9.2342.19200300.100.1.1", "060a0992268993f22c640101"],
    ] as const
  ) {
    assert.is(hex(der.writeObjectIdentifier(dotted)), encoded);
    assert.is(der.readObjectIdentifier(der.read(bytes(encoded))[0]!), dotted);
  }
});

test("a time has two digits of the year until 2049, and four from 2050 on", () => {
  const written = (time: string) => text(der.read(der.writeTime(Date.parse(time)))[0]!);
  assert.is(written("2049-12-31T23:59:59.999Z"), "491231235959Z");
  assert.is(written("2050-01-01T00:00:00Z"), "20500101000000Z");
});

test("values are read with their own bytes, one after the other and within each other", () => {
  const inner = der.write(der.tag.utf8String, der.writeText("größer"));
  const outer = der.write(der.field(3, "parts"), inner, inner);
  const [first, second, ...others] = der.read(der.write(der.tag.sequence, outer, inner)).flatMap(
    ({ content }) => der.read(content),
  );
  assert.equal(others, []);
  assert.equal([first!.tag, hex(first!.bytes)], [0xa3, hex(outer)]);
  assert.equal(der.read(first!.content).map(text), ["größer", "größer"]);
  assert.is(text(second!), "größer");
});

test("what is cut off, of no known length, or of more than one byte of a tag is no DER", () => {
  for (const broken of ["04", "0405ff", "0482ff", "048200", "3080020100", "04850000000001ff", "1f0100"]) {
    assert.throws(() => der.read(bytes(broken)), /^Cannot read the value at byte 0: expected DER$/, broken);
  }
});

test.run();
