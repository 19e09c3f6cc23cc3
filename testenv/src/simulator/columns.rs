//! The columns that tables show: names, types, formats, descriptions and priorities of the real server.

use serde_json::{Value, json};

const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
const CREATED: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
const ADDRESSES: &str = "List of addresses reachable to the node. Queried from cloud provider, if available. More info: https://kubernetes.io/docs/reference/node/node-status/#addresses Note: This field is declared as mergeable, but the merge key is not sufficiently unique, which can cause data corruption when it is merged. Callers should instead use a full-replacement patch. See https://pr.k8s.io/79391 for an example. Consumers should assume that addresses can change during the lifetime of a Node. However, there are some exceptions where this may not be possible, such as Pods that inherit a Node's address in its own status or consumers of the downward API (status.hostIP).";
const CONTAINERS: Column = wide("Containers", "Names of each container in the template.");
const IMAGES: Column = wide("Images", "Images referenced by each container in the template.");

/// How the table of a kind is made.
#[derive(Clone, Debug)]
pub(super) enum Columns {
    /// A printer written for this kind, in [`super::cells`].
    Native(&'static [Column]),
    /// Name, then what the CRD asks for.
    Printer(Vec<PrinterColumn>),
    /// Name and `Created At`: kinds without a printer.
    CreatedAt,
}

/// A column of a kind with its own printer.
#[derive(Debug)]
pub(super) struct Column {
    name: &'static str,
    kind: &'static str,
    format: &'static str,
    description: &'static str,
    priority: u8,
}

/// One of a CRD's `additionalPrinterColumns`.
#[derive(Clone, Debug)]
pub struct PrinterColumn {
    pub(super) name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub(super) kind: String,
    /// A simple JSONPath: `.spec.size`, `.metadata.labels['region']`, `.status.conditions[?(@.type=="Ready")].status`.
    pub(super) path: String,
    description: String,
}

impl PrinterColumn {
    /// A column of this name and type, read from this JSONPath.
    #[must_use]
    pub fn new(name: &str, kind: &str, path: &str) -> Self {
        Self {
            name: name.into(),
            kind: kind.into(),
            path: path.into(),
            description: format!("Custom resource definition column (in JSONPath format): {path}"),
        }
    }

    /// The usual `Age`.
    #[must_use]
    pub fn age() -> Self {
        Self::new("Age", "date", ".metadata.creationTimestamp")
    }

    /// With a description of its own.
    #[must_use]
    pub fn description(mut self, text: &str) -> Self {
        self.description = text.into();
        self
    }
}

impl Columns {
    /// The columns of a kind that is built in (or, for kcp, comes with the server).
    pub(super) fn built_in(group: &str, plural: &str) -> Self {
        let native = match (group, plural) {
            ("", "configmaps") => CONFIG_MAPS,
            ("", "events") => EVENTS,
            ("", "namespaces") => NAMESPACES,
            ("", "nodes") => NODES,
            ("", "pods") => PODS,
            ("", "secrets") => SECRETS,
            ("", "serviceaccounts") => SERVICE_ACCOUNTS,
            ("", "services") => SERVICES,
            ("apps", "deployments") => DEPLOYMENTS,
            ("apps", "replicasets") => REPLICA_SETS,
            ("metrics.k8s.io", _) => METRICS,
            ("rbac.authorization.k8s.io", "rolebindings") => ROLE_BINDINGS,
            ("rbac.authorization.k8s.io", "clusterrolebindings") => CLUSTER_ROLE_BINDINGS,
            ("tenancy.kcp.io", "workspaces") => return Self::Printer(workspace_columns()),
            ("core.kcp.io", "logicalclusters") => return Self::Printer(logical_cluster_columns()),
            ("apis.kcp.io", "apibindings") => {
                return Self::Printer(vec![PrinterColumn::age(), ready_column("Ready")]);
            }
            ("apis.kcp.io", "apiexports") => {
                let ready = ready_column("VirtualWorkspaceURLsReady");
                return Self::Printer(vec![PrinterColumn::age(), ready]);
            }
            (group, _) if group.ends_with(".kcp.io") => {
                return Self::Printer(vec![PrinterColumn::age()]);
            }
            _ => return Self::CreatedAt,
        };
        Self::Native(native)
    }

    /// The `columnDefinitions` of a Table.
    pub(super) fn definitions(&self) -> Vec<Value> {
        match self {
            Self::Native(columns) => columns.iter().map(Column::definition).collect(),
            Self::Printer(columns) => {
                let rest = columns.iter().map(|c| {
                    json!({"name": c.name, "type": c.kind, "format": "", "description": c.description, "priority": 0})
                });
                std::iter::once(NAME_COLUMN.definition()).chain(rest).collect()
            }
            Self::CreatedAt => {
                let created = Column { kind: "date", ..string("Created At", CREATED) };
                vec![NAME_COLUMN.definition(), created.definition()]
            }
        }
    }
}

impl Column {
    fn definition(&self) -> Value {
        json!({"name": self.name, "type": self.kind, "format": self.format,
            "description": self.description, "priority": self.priority})
    }
}

fn workspace_columns() -> Vec<PrinterColumn> {
    vec![
        PrinterColumn::new("Type", "string", ".spec.type.name").description("Type of the workspace"),
        PrinterColumn::new("Region", "string", ".metadata.labels['region']")
            .description("The region this workspace is in"),
        phase_column(),
        PrinterColumn::new("URL", "string", ".spec.URL").description("URL to access the workspace"),
        PrinterColumn::age(),
    ]
}

/// The column `Ready`, from the condition of this type.
fn ready_column(condition: &str) -> PrinterColumn {
    let path = format!(".status.conditions[?(@.type==\"{condition}\")].status");
    PrinterColumn::new("Ready", "string", &path)
}

fn logical_cluster_columns() -> Vec<PrinterColumn> {
    let url = PrinterColumn::new("URL", "string", ".status.URL").description("URL to access the logical cluster");
    vec![phase_column(), url, PrinterColumn::age()]
}

fn phase_column() -> PrinterColumn {
    PrinterColumn::new("Phase", "string", ".status.phase")
        .description("The current phase (e.g. Scheduling, Initializing, Ready, Deleting)")
}

const fn string(name: &'static str, description: &'static str) -> Column {
    Column { name, kind: "string", format: "", description, priority: 0 }
}

const fn integer(name: &'static str, description: &'static str) -> Column {
    Column { kind: "integer", ..string(name, description) }
}

const fn wide(name: &'static str, description: &'static str) -> Column {
    Column { priority: 1, ..string(name, description) }
}

const NAME_COLUMN: Column = Column { format: "name", ..string("Name", NAME) };
const AGE: Column = string("Age", CREATED);

const PODS: &[Column] = &[
    NAME_COLUMN,
    string("Ready", "The aggregate readiness state of this pod for accepting traffic."),
    string("Status", "The aggregate status of the containers in this pod."),
    string(
        "Restarts",
        "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
    ),
    AGE,
    wide("IP", "podIP address allocated to the pod. Routable at least within the cluster. Empty if not yet allocated."),
    wide(
        "Node",
        "NodeName indicates in which node this pod is scheduled. If empty, this pod is a candidate for scheduling by the scheduler defined in schedulerName. Once this field is set, the kubelet for this node becomes responsible for the lifecycle of this pod. This field should not be used to express a desire for the pod to be scheduled on a specific node. https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#nodename",
    ),
    wide(
        "Nominated Node",
        "nominatedNodeName is set only when this pod preempts other pods on the node, but it cannot be scheduled right away as preemption victims receive their graceful termination periods. This field does not guarantee that the pod will be scheduled on this node. Scheduler may decide to place the pod elsewhere if other nodes become available sooner. Scheduler may also decide to give the resources on this node to a higher priority pod that is created after preemption. As a result, this field may be different than PodSpec.nodeName when the pod is scheduled.",
    ),
    wide(
        "Readiness Gates",
        "If specified, all readiness gates will be evaluated for pod readiness. A pod is ready when all its containers are ready AND all conditions specified in the readiness gates have status equal to \"True\" More info: https://git.k8s.io/enhancements/keps/sig-network/580-pod-readiness-gates",
    ),
];

const METRICS: &[Column] = &[
    Column { description: "Name of the resource", ..NAME_COLUMN },
    Column { format: "quantity", ..string("cpu", "") },
    Column { format: "quantity", ..string("memory", "") },
    Column { format: "duration", ..string("Window", "") },
];

const REPLICA_SETS: &[Column] = &[
    NAME_COLUMN,
    integer(
        "Desired",
        "Replicas is the number of desired pods. This is a pointer to distinguish between explicit zero and unspecified. Defaults to 1. More info: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset",
    ),
    integer(
        "Current",
        "Replicas is the most recently observed number of non-terminating pods. More info: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset",
    ),
    integer("Ready", "The number of non-terminating pods targeted by this ReplicaSet with a Ready Condition."),
    AGE,
    CONTAINERS,
    IMAGES,
    wide(
        "Selector",
        "Selector is a label query over pods that should match the replica count. Label keys and values that must match in order to be controlled by this replica set. It must match the pod template's labels. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
    ),
];

const DEPLOYMENTS: &[Column] = &[
    NAME_COLUMN,
    string("Ready", "Number of the pod with ready state"),
    string(
        "Up-to-date",
        "Total number of non-terminating pods targeted by this deployment that have the desired template spec.",
    ),
    string(
        "Available",
        "Total number of available non-terminating pods (ready for at least minReadySeconds) targeted by this deployment.",
    ),
    AGE,
    CONTAINERS,
    IMAGES,
    wide(
        "Selector",
        "Label selector for pods. Existing ReplicaSets whose pods are selected by this will be the ones affected by this deployment. It must match the pod template's labels.",
    ),
];

const SERVICES: &[Column] = &[
    NAME_COLUMN,
    string(
        "Type",
        "type determines how the Service is exposed. Defaults to ClusterIP. Valid options are ExternalName, ClusterIP, NodePort, and LoadBalancer. \"ClusterIP\" allocates a cluster-internal IP address for load-balancing to endpoints. Endpoints are determined by the selector or if that is not specified, by manual construction of an Endpoints object or EndpointSlice objects. If clusterIP is \"None\", no virtual IP is allocated and the endpoints are published as a set of endpoints rather than a virtual IP. \"NodePort\" builds on ClusterIP and allocates a port on every node which routes to the same endpoints as the clusterIP. \"LoadBalancer\" builds on NodePort and creates an external load-balancer (if supported in the current cloud) which routes to the same endpoints as the clusterIP. \"ExternalName\" aliases this service to the specified externalName. Several other fields do not apply to ExternalName services. More info: https://kubernetes.io/docs/concepts/services-networking/service/#publishing-services-service-types",
    ),
    string(
        "Cluster-IP",
        "clusterIP is the IP address of the service and is usually assigned randomly. If an address is specified manually, is in-range (as per system configuration), and is not in use, it will be allocated to the service; otherwise creation of the service will fail. This field may not be changed through updates unless the type field is also being changed to ExternalName (which requires this field to be blank) or the type field is being changed from ExternalName (in which case this field may optionally be specified, as describe above).  Valid values are \"None\", empty string (\"\"), or a valid IP address. Setting this to \"None\" makes a \"headless service\" (no virtual IP), which is useful when direct endpoint connections are preferred and proxying is not required.  Only applies to types ClusterIP, NodePort, and LoadBalancer. If this field is specified when creating a Service of type ExternalName, creation will fail. This field will be wiped when updating a Service to type ExternalName. More info: https://kubernetes.io/docs/concepts/services-networking/service/#virtual-ips-and-service-proxies",
    ),
    string(
        "External-IP",
        "externalIPs is a list of IP addresses for which nodes in the cluster will also accept traffic for this service.  These IPs are not managed by Kubernetes.  The user is responsible for ensuring that traffic arrives at a node with this IP.  A common example is external load-balancers that are not part of the Kubernetes system.",
    ),
    string(
        "Port(s)",
        "The list of ports that are exposed by this service. More info: https://kubernetes.io/docs/concepts/services-networking/service/#virtual-ips-and-service-proxies",
    ),
    AGE,
    wide(
        "Selector",
        "Route service traffic to pods with label keys and values matching this selector. If empty or not present, the service is assumed to have an external process managing its endpoints, which Kubernetes will not modify. Only applies to types ClusterIP, NodePort, and LoadBalancer. Ignored if type is ExternalName. More info: https://kubernetes.io/docs/concepts/services-networking/service/",
    ),
];

const NODES: &[Column] = &[
    NAME_COLUMN,
    string("Status", "The status of the node"),
    string("Roles", "The roles of the node"),
    AGE,
    string("Version", "Kubelet Version reported by the node."),
    wide("Internal-IP", ADDRESSES),
    wide("External-IP", ADDRESSES),
    wide("OS-Image", "OS Image reported by the node from /etc/os-release (e.g. Debian GNU/Linux 7 (wheezy))."),
    wide("Kernel-Version", "Kernel Version reported by the node from 'uname -r' (e.g. 3.16.0-0.bpo.4-amd64)."),
    wide(
        "Container-Runtime",
        "ContainerRuntime Version reported by the node through runtime remote API (e.g. containerd://1.4.2).",
    ),
];

const EVENTS: &[Column] = &[
    string("Last Seen", "The time at which the most recent occurrence of this event was recorded."),
    string("Type", "Type of this event (Normal, Warning), new types could be added in the future"),
    string(
        "Reason",
        "This should be a short, machine understandable string that gives the reason for the transition into the object's current status.",
    ),
    string("Object", "The object that this event is about."),
    wide(
        "Subobject",
        "If referring to a piece of an object instead of an entire object, this string should contain a valid JSON/Go field access statement, such as desiredState.manifest.containers[2]. For example, if the object reference is to a container within a pod, this would take on a value like: \"spec.containers{name}\" (where \"name\" refers to the name of the container that triggered the event) or if no container name is specified \"spec.containers[2]\" (container with index 2 in this pod). This syntax is chosen only to have some well-defined way of referencing a part of an object.",
    ),
    wide("Source", "The component reporting this event. Should be a short machine understandable string."),
    string("Message", "A human-readable description of the status of this operation."),
    wide("First Seen", "The time at which the event was first recorded. (Time of server receipt is in TypeMeta.)"),
    wide("Count", "The number of times this event has occurred."),
    Column { priority: 1, ..NAME_COLUMN },
];

const NAMESPACES: &[Column] = &[NAME_COLUMN, string("Status", "The status of the namespace"), AGE];

const SECRETS: &[Column] = &[
    NAME_COLUMN,
    string(
        "Type",
        "Used to facilitate programmatic handling of secret data. More info: https://kubernetes.io/docs/concepts/configuration/secret/#secret-types",
    ),
    string(
        "Data",
        "Data contains the secret data. Each key must consist of alphanumeric characters, '-', '_' or '.'. The serialized form of the secret data is a base64 encoded string, representing the arbitrary (possibly non-string) data value here. Described in https://tools.ietf.org/html/rfc4648#section-4",
    ),
    AGE,
];

const SERVICE_ACCOUNTS: &[Column] = &[NAME_COLUMN, AGE];

const CONFIG_MAPS: &[Column] = &[
    NAME_COLUMN,
    string(
        "Data",
        "Data contains the configuration data. Each key must consist of alphanumeric characters, '-', '_' or '.'. Values with non-UTF-8 byte sequences must use the BinaryData field. The keys stored in Data must not overlap with the keys in the BinaryData field, this is enforced during validation process.",
    ),
    AGE,
];

const ROLE_BINDINGS: &[Column] = &[
    NAME_COLUMN,
    string(
        "Role",
        "roleRef can reference a Role in the current namespace or a ClusterRole in the global namespace. If the RoleRef cannot be resolved, the Authorizer must return an error.",
    ),
    AGE,
    wide("Users", "Users in the roleBinding"),
    wide("Groups", "Groups in the roleBinding"),
    wide("ServiceAccounts", "ServiceAccounts in the roleBinding"),
];

const CLUSTER_ROLE_BINDINGS: &[Column] = &[
    NAME_COLUMN,
    string(
        "Role",
        "roleRef can only reference a ClusterRole in the global namespace. If the RoleRef cannot be resolved, the Authorizer must return an error.",
    ),
    AGE,
    wide("Users", "Users in the clusterRoleBinding"),
    wide("Groups", "Groups in the clusterRoleBinding"),
    wide("ServiceAccounts", "ServiceAccounts in the clusterRoleBinding"),
];
