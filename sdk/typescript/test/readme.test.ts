import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { Channel, TestServer } from "./server.js";

const run = promisify(execFile);
const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const text = (value: Uint8Array | undefined) => new TextDecoder().decode(value);

/** Returns the first program of the README. */
async function quickStart(): Promise<string> {
  const readme = await readFile(path("README.md"), "utf8");
  const [, program] = /```ts\n(.*?)```/s.exec(readme) ?? [];
  assert.ok(program);
  return program;
}

/** What a package says of others. */
interface Manifest {
  readonly dependencies: object;
  readonly peerDependencies: object;
}

/** Installs in a folder what `npm publish` would take, and links what that depends on. */
async function install(folder: string): Promise<void> {
  const installed = join(folder, "node_modules", "@messageproxy", "client");
  await mkdir(installed, { recursive: true });
  // What scripts would build is built, and in use.
  const { stdout } = await run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], { cwd: path(".") });
  await run("tar", ["-xzf", join(folder, stdout.trim()), "-C", installed, "--strip-components", "1"]);
  const manifest = JSON.parse(await readFile(join(installed, "package.json"), "utf8")) as Manifest;
  for (const name of Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })) {
    const link = join(folder, "node_modules", name);
    await mkdir(dirname(link), { recursive: true });
    await symlink(path(`node_modules/${name}`), link);
  }
}

describe("the quick start", () => {
  it("has the right types, with what is published and the packages that this asks for", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "quickstart-"));
    t.after(() => rm(folder, { recursive: true }));
    await install(folder);
    await writeFile(join(folder, "quickstart.mts"), await quickStart());
    const tsc = path("node_modules/typescript/bin/tsc");
    const options = "--noEmit --ignoreConfig --strict --module NodeNext --types node --target ES2022";
    await run(process.execPath, [tsc, ...options.split(" "), "quickstart.mts"], { cwd: folder });
  });

  it("runs", async () => {
    await using server = await TestServer.start();
    const program = (await quickStart()).replace("localhost:7070", server.target);
    await writeFile(path("build/quickstart.mjs"), program);
    const child = spawn(process.execPath, [path("build/quickstart.mjs")], { stdio: ["ignore", "pipe", "inherit"] });
    const lines = new Channel<string>();
    child.stdout.setEncoding("utf8").on("data", (line: string) => {
      lines.put(line);
    });
    const exited = once(child, "exit");

    const produced = await server.produceStreams.next();
    const [message] = await produced.messages(1);
    assert.ok(message);
    assert.deepEqual([message.topic, text(message.key), text(message.value)], ["orders", "ada", "a cup"]);
    produced.receipts([message]);
    assert.match(await lines.next(), /^stored as id-/);

    const consumed = await server.consumeStreams.next();
    assert.deepEqual((await consumed.subscribed()).topics, ["orders"]);
    consumed.deliver("orders", 0, [{ id: "1", value: new TextEncoder().encode("a cup") }]);
    assert.match(await lines.next(), /^billed a cup/);
    assert.deepEqual(await consumed.acks(1), ["1"]);
    child.kill("SIGINT");
    await consumed.left();
    assert.equal(await produced.requests.take(), undefined);
    produced.end();
    assert.deepEqual(await exited, [0, null]);
  });
});
