import { generateKeyPairSync, sign } from "node:crypto";

/** The tags of ASN.1's types that a certificate is made of. */
enum Tag {
  Integer = 0x02,
  Bits = 0x03,
  Octets = 0x04,
  Identifier = 0x06,
  Text = 0x0c,
  Time = 0x17,
  Sequence = 0x30,
  Set = 0x31,
  Version = 0xa0,
  Extensions = 0xa3,
  /** Among alternative names. */
  HostName = 0x82,
}

const identifiers = { ecdsaWithSHA256: "2a8648ce3d040302", commonName: "550403", subjectAltName: "551d11" };
const dayMilliseconds = 24 * 60 * 60 * 1000;

/**
 * Makes a key, and a certificate for a host that it has signed itself (RFC 5280), both as PEM: Node has no function for
 * that. It is valid today.
 */
export function selfSigned(host: string): { readonly cert: string; readonly key: string } {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const algorithm = sequence(identifier("ecdsaWithSHA256"));
  const name = sequence(der(Tag.Set, sequence(identifier("commonName"), der(Tag.Text, Buffer.from(host)))));
  const altNames = der(Tag.Octets, sequence(der(Tag.HostName, Buffer.from(host))));
  const content = sequence(
    der(Tag.Version, der(Tag.Integer, Buffer.of(2))), // which is version 3
    der(Tag.Integer, Buffer.of(1)), // its serial number
    algorithm,
    name,
    sequence(time(Date.now() - dayMilliseconds), time(Date.now() + dayMilliseconds)),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    der(Tag.Extensions, sequence(sequence(identifier("subjectAltName"), altNames))),
  );
  const signature = der(Tag.Bits, Buffer.of(0), sign("sha256", content, privateKey));
  const cert = sequence(content, algorithm, signature).toString("base64");
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${cert}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

/** Encodes a value as DER: its tag, its length and its content. */
function der(tag: Tag, ...contents: Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...size), content]);
}

function sequence(...contents: Uint8Array[]): Buffer {
  return der(Tag.Sequence, ...contents);
}

function identifier(name: keyof typeof identifiers): Buffer {
  return der(Tag.Identifier, Buffer.from(identifiers[name], "hex"));
}

function time(ms: number): Buffer {
  const [digits = ""] = new Date(ms).toISOString().replace(/[-:T]/g, "").split(".");
  return der(Tag.Time, Buffer.from(`${digits.slice(2)}Z`));
}
