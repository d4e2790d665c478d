/**
 * Small programs that run in a pod of the database image beside a Database, with its application's credentials.
 * @module
 */
import { until } from "../within.ts";
import type { Kubectl } from "./kubectl.ts";

/** A Python program in a pod. */
export interface Program {
  readonly pod: string;
  readonly database: string;
  readonly image: string;
  readonly source: string;
  readonly args: readonly string[];
}

/** Starts it, in place of one of the same name. Passes the Pod Security level `restricted`. */
export async function startProgram(kubectl: Kubectl, program: Program): Promise<void> {
  const { pod, database, image, source, args } = program;
  // One that a failed scenario left behind.
  await kubectl.run(["delete", "pod", pod, "--ignore-not-found", "--grace-period=0", "--force"], {
    timeoutMs: 60_000,
  });
  await kubectl.apply({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: pod, labels: { "e2e/of": database } },
    spec: {
      restartPolicy: "Never",
      terminationGracePeriodSeconds: 0,
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, fsGroup: 102, seccompProfile: { type: "RuntimeDefault" } },
      containers: [{
        name: "program",
        image,
        imagePullPolicy: "IfNotPresent",
        command: ["python3", "-c", source, ...args],
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
        volumeMounts: [{ name: "credentials", mountPath: "/etc/credentials", readOnly: true }],
      }],
      volumes: [{
        name: "credentials",
        secret: { secretName: `${database}-credentials`, defaultMode: 0o440 },
      }],
    },
  });
}

/** Tells it to end, waits until it has, and returns all that it printed. */
export async function stopProgram(kubectl: Kubectl, pod: string): Promise<string> {
  // Its end may take the messenger with it.
  await kubectl.try(["exec", pod, "--", "kill", "-TERM", "1"]);
  await until(20_000, `pod ${pod} to end`, async () => {
    return (await kubectl.get("pod", pod))?.status?.phase === "Succeeded";
  }, 500);
  const text = await kubectl.logs(pod);
  await kubectl.run(["delete", "pod", pod, "--wait=true", "--timeout=30s"], { timeoutMs: 40_000 });
  return text;
}
