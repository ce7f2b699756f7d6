//! What can be set about asking a cluster.

use std::path::PathBuf;
use std::time::Duration;

use sawyer_config::{choice, settings};

choice! {
    /// Who is asked about pods.
    pub enum MetadataFrom {
        /// The API server where this process runs in a pod with a service account, else nobody.
        Auto = "auto",
        /// Nobody: what the paths of logs say has to do.
        Nobody = "nobody",
        /// The API server: a list and a watch of the pods of this node. Sees changes at once.
        Api = "api",
        /// The kubelet of this node: its list of pods, every few seconds. Spares the API server of a large cluster.
        Kubelet = "kubelet",
    }
}

settings! {
    /// What a cluster says about the pods whose logs are read: `workload`, `workload_kind`, `image`, `labels.…`,
    /// and `service` and `env` where well-known labels say them. Needs the right to get, list and watch pods; to get
    /// replicasets and jobs, where those have names of their own; with the kubelet, to get nodes/pods, or nodes/proxy before
    /// Kubernetes 1.33.
    ///
    /// Annotations of pods say how their logs are to be read: see docs/kubernetes.md.
    pub struct KubeSettings {
        /// Who is asked.
        pub from: MetadataFrom = MetadataFrom::Auto,
        /// Address of the API server. By default the one that every pod is told of.
        pub api: Option<String>,
        /// Address of the kubelet. By default port 10250 of `$NODE_IP`, else of this machine.
        pub kubelet: Option<String>,
        /// The file with the token of the service account. It is read again for each request, because it changes.
        pub token_file: PathBuf = "/var/run/secrets/kubernetes.io/serviceaccount/token".into(),
        /// The authority that vouches for the API server and the kubelet. `null` for those of the system.
        pub ca_file: Option<PathBuf> = Some("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt".into()),
        /// Whether the kubelet has to show a certificate of that authority. Many have one that they made themselves.
        pub verify_kubelet: bool = true,
        /// Which labels of pods become fields, with `*` and `?`.
        pub labels: Vec<String> = vec!["*".to_owned()],
        /// Which annotations of pods become fields, with `*` and `?`.
        pub annotations: Vec<String> = Vec::new(),
        /// Which labels of the pods' namespaces become fields, `namespace_labels.…`, with `*` and `?`. Takes the right
        /// to get namespaces, and the API server at hand, also where the kubelet is asked for pods.
        pub namespace_labels: Vec<String> = Vec::new(),
        /// How long the first lines of a container wait for what the cluster says about it. After that they are read
        /// without it, and later lines have it once it is known.
        #[range(Duration::ZERO..=Duration::from_secs(60))]
        pub wait: Duration = Duration::from_secs(2),
        /// How long a pod is remembered after it was deleted, so that the last lines of its logs still say to what it
        /// belonged.
        #[range(Duration::from_secs(1)..=Duration::from_secs(86_400))]
        pub remember: Duration = Duration::from_secs(3600),
    }
}

settings! {
    /// Reads what a cluster says about itself: its events, such as `FailedScheduling`, `BackOff`, `Unhealthy`, each
    /// once, with how often it was repeated. Of all Sawyers with this input one reads, the one that holds the Lease;
    /// how far it has come is noted in the Lease, so that the next one goes on there. Needs the right to list and
    /// watch events; to create, get and update leases in its own namespace; and for `workload`, to get pods,
    /// replicasets and jobs.
    pub struct EventsSettings {
        /// The cluster's name, for the field `cluster`. None by default.
        pub cluster: Option<String>,
        /// Address of the API server. By default the one that every pod is told of.
        pub api: Option<String>,
        /// The file with the token of the service account. It is read again for each request, because it changes.
        pub token_file: PathBuf = "/var/run/secrets/kubernetes.io/serviceaccount/token".into(),
        /// The authority that vouches for the API server. `null` for those of the system.
        pub ca_file: Option<PathBuf> = Some("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt".into()),
        /// Name of the Lease. Those that share it read the cluster's events once; with another name they are read
        /// once more.
        pub lease: String = "sawyer-events".to_owned(),
        /// The namespace of the Lease. By default the one that Sawyer runs in: `$POD_NAMESPACE`, else that of the
        /// service account.
        pub lease_namespace: Option<String>,
        /// How long nobody else takes the Lease after its holder was last heard of. Longer spares the API server,
        /// and events come later after a holder has died; none is lost by it.
        #[range(Duration::from_secs(3)..=Duration::from_secs(3600))]
        pub lease_duration: Duration = Duration::from_secs(30),
        /// Whether the API server is asked to what the pods belong that events are about.
        pub workloads: bool = true,
    }
}
