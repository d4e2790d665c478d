// The job of examples/config-map.ts on controller-runtime, written the way its book writes controllers: each Database
// gets a ConfigMap "<name>-config" that says its size and version, and status.observedGeneration. For bench/run.ts.
package main

import (
	"context"
	"flag"
	"os"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
)

type databaseSpec struct {
	Size    int    `json:"size,omitempty"`
	Version string `json:"version,omitempty"`
}

type databaseStatus struct {
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
}

type database struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              databaseSpec   `json:"spec,omitempty"`
	Status            databaseStatus `json:"status,omitempty"`
}

func (in *database) DeepCopyObject() runtime.Object {
	out := *in
	in.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	return &out
}

type databaseList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []database `json:"items"`
}

func (in *databaseList) DeepCopyObject() runtime.Object {
	out := &databaseList{TypeMeta: in.TypeMeta, Items: make([]database, 0, len(in.Items))}
	in.ListMeta.DeepCopyInto(&out.ListMeta)
	for i := range in.Items {
		out.Items = append(out.Items, *in.Items[i].DeepCopyObject().(*database))
	}
	return out
}

type reconciler struct {
	client.Client
}

func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var found database
	if err := r.Get(ctx, request.NamespacedName, &found); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if found.DeletionTimestamp != nil {
		return ctrl.Result{}, nil
	}
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: found.Namespace, Name: found.Name + "-config"}}
	if _, err := controllerutil.CreateOrUpdate(ctx, r.Client, configMap, func() error {
		configMap.Data = map[string]string{"size": strconv.Itoa(found.Spec.Size), "version": found.Spec.Version}
		return controllerutil.SetControllerReference(&found, configMap, r.Scheme())
	}); err != nil {
		return ctrl.Result{}, err
	}
	if found.Status.ObservedGeneration != found.Generation {
		before := found.DeepCopyObject().(*database)
		found.Status.ObservedGeneration = found.Generation
		return ctrl.Result{}, r.Status().Patch(ctx, &found, client.MergeFrom(before))
	}
	return ctrl.Result{}, nil
}

func main() {
	namespace := flag.String("namespace", "", "watch only this namespace")
	userAgent := flag.String("user-agent", "bench-controller-runtime", "")
	lease := flag.String("lease", "", "elect a leader with the Lease of this name")
	flag.Parse()
	ctrl.SetLogger(zap.New())
	if err := run(*namespace, *userAgent, *lease); err != nil {
		ctrl.Log.Error(err, "Ended by an error")
		os.Exit(1)
	}
}

func run(namespace, userAgent, lease string) error {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return err
	}
	group := schema.GroupVersion{Group: "app.example.com", Version: "v1"}
	scheme.AddKnownTypeWithName(group.WithKind("Database"), &database{})
	scheme.AddKnownTypeWithName(group.WithKind("DatabaseList"), &databaseList{})
	metav1.AddToGroupVersion(scheme, group)

	config := ctrl.GetConfigOrDie()
	config.QPS = -1
	config.UserAgent = userAgent
	options := ctrl.Options{Scheme: scheme, Metrics: server.Options{BindAddress: "0"}}
	if lease != "" {
		options.LeaderElection = true
		options.LeaderElectionID = lease
		options.LeaderElectionNamespace = "bench-runtime"
		options.LeaderElectionReleaseOnCancel = true
	}
	if namespace != "" {
		options.Cache = cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}}
	}
	manager, err := ctrl.NewManager(config, options)
	if err != nil {
		return err
	}
	err = ctrl.NewControllerManagedBy(manager).
		For(&database{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Owns(&corev1.ConfigMap{}).
		WithOptions(controller.Options{MaxConcurrentReconciles: 10}).
		Complete(&reconciler{manager.GetClient()})
	if err != nil {
		return err
	}
	return manager.Start(ctrl.SetupSignalHandler())
}
