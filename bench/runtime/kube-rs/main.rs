//! The job of examples/config-map.ts on kube-rs, written the way its documentation writes controllers: each Database
//! gets a ConfigMap "<name>-config" that says its size and version, and status.observedGeneration. Both kinds are kept
//! in stores and read from there. For bench/run.ts.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, CustomResource, Resource, ResourceExt,
    api::{ObjectMeta, Patch, PatchParams},
    runtime::{
        WatchStreamExt,
        controller::{Action, Config, Controller},
        predicates,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::json;

const MANAGER: &str = "bench-kube-rs";

#[derive(CustomResource, Clone, Debug, Deserialize, Serialize)]
#[kube(group = "app.example.com", version = "v1", kind = "Database", namespaced, status = "DatabaseStatus", schema = "disabled")]
struct DatabaseSpec {
    size: i64,
    version: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct DatabaseStatus {
    observed_generation: Option<i64>,
}

struct Context {
    client: Client,
    config_maps: Store<ConfigMap>,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Kube(#[from] kube::Error),
    #[error("the Database has no owner reference")]
    NoOwner,
}

async fn reconcile(database: Arc<Database>, context: Arc<Context>) -> Result<Action, Error> {
    if database.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let namespace = database.namespace().unwrap_or_default();
    let name = format!("{}-config", database.name_any());
    let data = BTreeMap::from([
        ("size".to_owned(), database.spec.size.to_string()),
        ("version".to_owned(), database.spec.version.clone()),
    ]);
    let found = context.config_maps.get(&ObjectRef::new(&name).within(&namespace));
    if found.and_then(|found| found.data.clone()).as_ref() != Some(&data) {
        let config_map = ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                owner_references: Some(vec![database.controller_owner_ref(&()).ok_or(Error::NoOwner)?]),
                ..ObjectMeta::default()
            },
            data: Some(data),
            ..ConfigMap::default()
        };
        Api::<ConfigMap>::namespaced(context.client.clone(), &namespace)
            .patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(config_map))
            .await?;
    }
    let generation = database.metadata.generation;
    if database.status.as_ref().and_then(|status| status.observed_generation) != generation {
        let status = json!({"status": {"observedGeneration": generation}});
        Api::<Database>::namespaced(context.client.clone(), &namespace)
            .patch_status(&database.name_any(), &PatchParams::default(), &Patch::Merge(status))
            .await?;
    }
    Ok(Action::await_change())
}

fn error_policy(_: Arc<Database>, error: &Error, _: Arc<Context>) -> Action {
    eprintln!("{error}");
    Action::requeue(Duration::from_secs(1))
}

#[tokio::main]
async fn main() -> Result<(), kube::Error> {
    let client = Client::try_default().await?;
    let (databases, database_writer) = reflector::store();
    let (config_maps, config_map_writer) = reflector::store();
    let database_stream = watcher(Api::<Database>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .reflect(database_writer)
        .applied_objects()
        .predicate_filter(predicates::generation, Default::default());
    let config_map_stream = watcher(Api::<ConfigMap>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .reflect(config_map_writer)
        .touched_objects();
    Controller::for_stream(database_stream, databases)
        .owns_stream(config_map_stream)
        .with_config(Config::default().concurrency(10))
        .shutdown_on_signal()
        .run(reconcile, error_policy, Arc::new(Context { client, config_maps }))
        .for_each(|_| std::future::ready(()))
        .await;
    Ok(())
}
