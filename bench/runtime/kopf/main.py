"""The job of examples/config-map.ts on kopf, written the way its documentation writes operators: each Database gets a
ConfigMap "<name>-config" that says its size and version, and status.observedGeneration. For bench/run.ts.
"""

import kopf
from kubernetes_asyncio import client, config

GROUP = ("app.example.com", "v1", "databases")
api: client.CoreV1Api


@kopf.on.startup()
async def start(settings: kopf.OperatorSettings, **_):
    global api
    settings.posting.enabled = False
    await config.load_kube_config()
    api = client.CoreV1Api()


@kopf.on.cleanup()
async def stop(**_):
    await api.api_client.close()


@kopf.index(*GROUP)
def databases(namespace, name, body, **_):
    return {(namespace, name): dict(body)}


@kopf.index("", "v1", "configmaps")
def config_maps(namespace, name, body, **_):
    return {(namespace, name): dict(body.get("data", {}))}


async def keep(namespace, name, database, found):
    spec = database["spec"]
    data = {"size": str(spec["size"]), "version": spec["version"]}
    if found == data:
        return
    owner = {
        "apiVersion": database["apiVersion"],
        "kind": database["kind"],
        "name": name,
        "uid": database["metadata"]["uid"],
        "controller": True,
    }
    metadata = {"name": f"{name}-config", "ownerReferences": [owner]}
    if found is None:
        try:
            await api.create_namespaced_config_map(namespace, {"metadata": metadata, "data": data})
            return
        except client.ApiException as error:
            if error.status != 409:
                raise
    await api.patch_namespaced_config_map(metadata["name"], namespace, {"data": data})


@kopf.on.resume(*GROUP)
@kopf.on.create(*GROUP)
@kopf.on.update(*GROUP, field="spec")
async def database_changed(namespace, name, body, patch, config_maps: kopf.Index, **_):
    found = next(iter(config_maps.get((namespace, f"{name}-config"), [])), None)
    await keep(namespace, name, body, found)
    patch.status["observedGeneration"] = body.metadata["generation"]


@kopf.on.event("", "v1", "configmaps", when=lambda name, **_: name.endswith("-config"))
async def config_map_changed(type, namespace, name, body, databases: kopf.Index, **_):
    owner = name.removesuffix("-config")
    for database in databases.get((namespace, owner), []):
        if not database["metadata"].get("deletionTimestamp"):
            await keep(namespace, owner, database, None if type == "DELETED" else dict(body.get("data", {})))
