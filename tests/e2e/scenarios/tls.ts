/**
 * TLS: who is refused, what is verified, and certificates that change while rows are written.
 * @module
 */
import type { KeyPair } from "../../../postgres/tls.ts";
import { issue } from "../../../postgres/x509.ts";
import { until } from "../../within.ts";
import { authorityExtensions, type Order, Workshop } from "../../workshop.ts";
import { conditionOf, database, leader, members, ready, sql, streaming, writtenIds } from "../database.ts";
import { startProgram } from "../pods.ts";
import { bar, check, discard, ensure, highestId, type Run, type Scenario } from "../scenario.ts";
import { longestGapMs, lostRows, Writer } from "../writer.ts";

const name = "sealed";
const dayMs = 86_400_000;

/** Tries to connect as the application, with what each argument says in libpq's words; prints what came of it. */
const client = `
import os, sys, psycopg2
def read(key):
    with open("/etc/credentials/" + key, encoding="utf-8") as file:
        return file.read()
with open("/tmp/ca.crt", "w", encoding="utf-8") as file:
    file.write(sys.argv[1])
for options in sys.argv[2:]:
    try:
        connection = psycopg2.connect(options + " connect_timeout=5", port=5432, dbname=read("database"),
            user=read("username"), password=read("password"))
        with connection.cursor() as cursor:
            cursor.execute("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            print("in", *cursor.fetchone(), flush=True)
        connection.close()
    except psycopg2.OperationalError as error:
        print("out", str(error).replace("\\n", " "), flush=True)
`;

/** What came of each connection, from a pod beside the Database that trusts what ConfigMap `<name>-ca` says. */
async function connections({ kubectl, image }: Run, ...options: string[]): Promise<string[]> {
  const trusted = (await kubectl.get("configmap", `${name}-ca`))?.data?.["ca.crt"] ?? "";
  const pod = `${name}-client`;
  await startProgram(kubectl, { pod, database: name, image, source: client, args: [trusted, ...options] });
  await until(
    60_000,
    `pod ${pod} to end`,
    async () => (await kubectl.get("pod", pod))?.status?.phase === "Succeeded",
  );
  const lines = (await kubectl.logs(pod)).trim().split("\n");
  await kubectl.run(["delete", "pod", pod, "--wait=true", "--timeout=30s"], { timeoutMs: 40_000 });
  return lines;
}

/** What each member's agent says of its certificate. */
async function reports({ kubectl }: Run, of = name): Promise<{ certificate: string; trusts: string[] }[]> {
  const pods = await members(kubectl, of);
  return pods.map((pod) => JSON.parse(pod.metadata.annotations?.["app.example.com/tls"] ?? "{}"));
}

/** Waits until every member shows a certificate other than `before`, and the same; resolves to its fingerprint. */
async function changed(run: Run, before: string, timeoutMs: number): Promise<string> {
  return await until(timeoutMs, "every member to show another certificate", async () => {
    const shown = [...new Set((await reports(run)).map(({ certificate }) => certificate))];
    if (shown.length === 1 && shown[0] !== undefined && shown[0] !== before) return shown[0];
    throw new Error(shown.join(", "));
  }, 500);
}

/** Wakes the Database: nobody tells of a change in a Secret. */
async function touch({ kubectl }: Run): Promise<void> {
  const pairs = [`app.example.com/paused=false-${Date.now()}`];
  await kubectl.run(["annotate", "databases.app.example.com", name, "--overwrite", ...pairs]);
}

async function encrypted(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name, { size: 2 });
  const verify = "sslmode=verify-full sslrootcert=/tmp/ca.crt";
  const [plain, whole, short, readOnly, pod, wrong] = await connections(
    run,
    `host=${name} sslmode=disable`,
    `host=${name}.${kubectl.namespace}.svc.cluster.local ${verify}`,
    `host=${name} ${verify}`,
    `host=${name}-ro ${verify}`,
    `host=${name}-0.${name}-pods ${verify}`,
    `host=${name}-backup-no-such-name hostaddr=${
      (await kubectl.get("service", name))?.spec.clusterIP
    } ${verify}`,
  );
  check(plain?.startsWith("out") && /no encryption|no pg_hba/.test(plain), `plain text: ${plain}`);
  for (const line of [whole, short, readOnly, pod]) check(line === "in True TLSv1.3", `verify-full: ${line}`);
  check(wrong?.startsWith("out"), `another name was accepted: ${wrong}`);
  const primary = (await leader(kubectl, name))!;
  const replication = await sql(
    kubectl,
    primary,
    "SELECT count(*), bool_and(ssl) FROM pg_stat_replication JOIN pg_stat_ssl USING (pid)",
  );
  check(replication === "1|t", `replication: ${replication}`);
  for (const { metadata } of await members(kubectl, name)) {
    if (metadata.name === primary) continue;
    const conninfo = await sql(kubectl, metadata.name, "SHOW primary_conninfo");
    check(/sslmode=verify-ca/.test(conninfo), `${metadata.name} does not verify its primary`);
  }

  const rotated = await rotate(run, async (before) => {
    await kubectl.delete("secret", `${name}-tls`);
    await touch(run);
    await changed(run, before, 120_000);
  });
  run.figure("certificate deleted to shown by every member", rotated.ms, "ms", 90_000);
  const [after] = await connections(run, `host=${name} ${verify}`);
  check(after === "in True TLSv1.3", `after the change: ${after}`);

  await kubectl.apply(database(name, { size: 2, tls: { plaintext: true } }));
  const allowed = `host=${name} sslmode=disable`;
  await until(60_000, "plain text to be let in", async () => {
    const [line] = await connections(run, allowed);
    if (line?.startsWith("in False")) return true;
    throw new Error(line);
  }, 2_000);
  await discard(run, name);
}

/** Does something to the certificates while rows are written: none may fail for good, and no member restart. */
async function rotate(run: Run, change: (before: string) => Promise<void>): Promise<{ ms: number }> {
  const { kubectl, image } = run;
  const starts = async () =>
    JSON.stringify((await members(kubectl, name)).map(({ metadata, status }) => [
      metadata.uid,
      status.containerStatuses.map((one: { restartCount: number }) => one.restartCount),
    ]));
  const before = await until(60_000, "every member to tell of its certificate", async () => {
    const [first, ...others] = await reports(run);
    return first?.certificate && others.every(({ certificate }) => certificate === first.certificate)
      ? first.certificate
      : undefined;
  }, 500);
  const started = await starts();
  const postmaster = async () =>
    await sql(kubectl, (await leader(kubectl, name))!, "SELECT pg_postmaster_start_time()");
  const server = await postmaster();
  const writer = await Writer.start(kubectl, name, { image, firstId: await highestId(run, name) });
  const startedMs = Date.now();
  await change(before);
  const ms = Date.now() - startedMs;
  await writer.writesAfter(Date.now(), 30_000);
  const written = await writer.stop();
  const lost = lostRows(written, await writtenIds(kubectl, name));
  check(
    lost.length === 0 && written.failures.length === 0,
    `${lost.length} rows lost, ${written.failures.length} attempts failed: ${written.failures[0]?.reason}`,
  );
  check(await starts() === started && await postmaster() === server, "something restarted");
  run.figure("rows while the certificate changed, none failed", written.acknowledged.length, "rows");
  run.figure("longest time without an acknowledged row", longestGapMs(written), "ms", 1_000);
  const sealedAgain = await sql(
    kubectl,
    (await leader(kubectl, name))!,
    "SELECT bool_and(ssl) FROM pg_stat_replication JOIN pg_stat_ssl USING (pid)",
  );
  check(sealedAgain === "t", `replication after the change: ${sealedAgain}`);
  return { ms };
}

/** A person's Secret in cert-manager's form. */
async function give({ kubectl }: Run, authority: KeyPair, options: { names?: string[]; days?: number } = {}) {
  const { names = [`${name}.${kubectl.namespace}.svc`], days = 90 } = options;
  const pair = issue({
    subject: name,
    names,
    notBeforeMs: Date.now() - 10 * dayMs,
    notAfterMs: Date.now() + days * dayMs,
    issuer: authority,
  });
  await kubectl.apply({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: `${name}-given` },
    type: "kubernetes.io/tls",
    stringData: { "tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": authority.certificate },
  });
}

function authority(): KeyPair {
  return issue({
    subject: "test",
    names: [],
    notBeforeMs: Date.now() - dayMs,
    notAfterMs: Date.now() + 365 * dayMs,
  });
}

async function authorities(run: Run): Promise<void> {
  const { kubectl } = run;
  await ensure(run, name, { size: 2 });
  const fresh = await rotate(run, async (before) => {
    await kubectl.delete("secret", `${name}-ca`);
    await touch(run);
    await changed(run, before, 400_000);
  });
  run.figure("authority deleted to a certificate of the new one on every member", fresh.ms, "ms", 360_000);

  const mine = authority();
  await give(run, mine);
  const own = await rotate(run, async (before) => {
    await kubectl.apply(database(name, { size: 2, tls: { secretName: `${name}-given` } }));
    await changed(run, before, 400_000);
  });
  run.figure("own Secret named to shown by every member", own.ms, "ms", 360_000);
  const [line] = await connections(
    run,
    `host=${name}.${kubectl.namespace}.svc sslmode=verify-full sslrootcert=/tmp/ca.crt`,
  );
  check(line === "in True TLSv1.3", `own certificate: ${line}`);

  // A Secret that cannot be used is told, and changes nothing.
  const shown = (await reports(run))[0]!.certificate;
  for (
    const [options, reason] of [
      [{ days: -1 }, /expired/],
      [{ names: ["elsewhere.example"] }, /does not name/],
    ] as const
  ) {
    await give(run, mine, { ...options, ...("names" in options ? { names: [...options.names] } : {}) } as {
      names?: string[];
      days?: number;
    });
    await until(60_000, "the Secret to be refused", async () => {
      const condition = conditionOf(await kubectl.get("databases.app.example.com", name), "Blocked");
      if (condition?.reason === "TlsSecretUnusable" && reason.test(String(condition.message))) return true;
      throw new Error(`${condition?.reason}: ${condition?.message}`);
    }, 500);
    const [still] = await reports(run);
    check(still?.certificate === shown, "a certificate that cannot be used was taken up");
  }
  await discard(run, name);
}

const other = "sealed2";
const serverExtension = "extendedKeyUsage=serverAuth";

async function giveFiles({ kubectl }: Run, pair: KeyPair, ca: string): Promise<void> {
  await kubectl.apply({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: `${name}-given` },
    type: "kubernetes.io/tls",
    stringData: { "tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": ca },
  });
}

async function blamed({ kubectl }: Run, database: string, words: string): Promise<void> {
  await until(60_000, `${database} to say: ${words}`, async () => {
    const { reason, message } =
      conditionOf(await kubectl.get("databases.app.example.com", database), "Blocked") ??
        {};
    if (reason === "TlsSecretUnusable" && String(message).includes(words)) return true;
    throw new Error(`${reason}: ${message}`);
  }, 500);
}

/** Two Databases with one Secret, then what OpenSSL would refuse in it: told, and never given to a member. */
async function shared(run: Run): Promise<void> {
  const { kubectl } = run;
  const shop = new Workshop();
  try {
    const root = shop.make({ extensions: authorityExtensions });
    const between = shop.make({ by: root, extensions: authorityExtensions });
    const [first, second] = [name, other].map((one) => `${one}.${kubectl.namespace}.svc`);
    const leaf = (more: Partial<Order> = {}, ...names: (string | undefined)[]) => {
      const [one = first, ...others] = names;
      const dns = [one, ...others].map((host) => `DNS:${host}`).join(",");
      return shop.make({ by: root, extensions: [`subjectAltName=${dns}`, serverExtension], ...more });
    };
    await discard(run, name);
    await giveFiles(run, leaf({}, first, second), root.certificate);
    const tls = { secretName: `${name}-given` };
    await kubectl.apply(database(name, { size: 2, tls }), database(other, { size: 1, tls }));
    for (const one of [name, other]) await ready(kubectl, one, bar.ready);
    const verified = `sslmode=verify-full sslrootcert=/tmp/ca.crt`;
    const lines = await connections(run, `host=${first} ${verified}`);
    check(lines.join() === "in True TLSv1.3", `with the shared Secret: ${lines.join()}`);
    const uids = async (of: string) =>
      (await members(kubectl, of)).map(({ metadata }) => metadata.uid).join();
    const before = await uids(other);
    const [shownThere] = await reports(run, other);
    const [shown] = await reports(run);

    const alone = leaf();
    await giveFiles(run, alone, root.certificate);
    await blamed(run, other, `does not name ${second}`);
    const now = await changed(run, shown!.certificate, 180_000);
    const [still] = await reports(run, other);
    check(still?.certificate === shownThere?.certificate, "the unnamed Database shows another certificate");
    check(await uids(other) === before, "the unnamed Database was restarted");
    check(await sql(kubectl, `${other}-0`, "SELECT 1") === "1", "the unnamed Database does not serve");
    await discard(run, other);

    const below = leaf({ by: between });
    const clients = [`subjectAltName=DNS:${first}`, "extendedKeyUsage=clientAuth"];
    const past = { notBeforeMs: Date.now() - 9 * dayMs, notAfterMs: Date.now() - dayMs };
    const old = issue({ subject: "old", names: [], ...past });
    const bad: [pair: KeyPair, ca: string, words: string][] = [
      [
        leaf({ key: "rsa:1024" }),
        root.certificate,
        "has in tls.crt a key that is neither RSA with 2048 bits",
      ],
      [leaf({ extensions: clients }), root.certificate, "lacks serverAuth"],
      [leaf({ by: old }), old.certificate, "has in ca.crt an authority that expired"],
      [
        { ...below, certificate: below.certificate + between.certificate },
        between.certificate,
        "without the root",
      ],
    ];
    for (const [pair, ca, words] of bad) {
      await giveFiles(run, pair, ca);
      await blamed(run, name, words);
    }
    const primary = await leader(kubectl, name);
    const replica = (await members(kubectl, name)).find(({ metadata }) => metadata.name !== primary)!;
    await kubectl.delete("pod", replica.metadata.name);
    await streaming(kubectl, name, 2, bar.ready);
    const asked = `app.example.com/switchover=any@${Date.now().toString(36)}`;
    await kubectl.run(["annotate", "databases.app.example.com", name, "--overwrite", asked]);
    await until(
      bar.ready,
      "the switchover",
      async () => await leader(kubectl, name) === replica.metadata.name,
    );
    await streaming(kubectl, name, 2, bar.ready);
    for (const { certificate } of await reports(run)) {
      check(certificate === now, "a certificate that cannot be used was taken up");
    }
    await giveFiles(run, alone, root.certificate);
    await ready(kubectl, name, bar.ready);
  } finally {
    shop.close();
  }
  await discard(run, name);
}

export const tls: Scenario[] = [
  {
    name: "tls",
    what: "plain text is refused, names are verified, and a new certificate disturbs nobody",
    run: encrypted,
  },
  {
    name: "badtls",
    what:
      "a Secret of two Databases that stops naming one, and certificates that OpenSSL would refuse: told, none used",
    run: shared,
  },
  {
    name: "authority",
    what: "another authority, or a Secret of one's own, disturbs nobody; a bad Secret changes nothing",
    optional: true,
    run: authorities,
  },
];
