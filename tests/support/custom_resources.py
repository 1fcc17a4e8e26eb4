"""What the definitions of custom resources require and know, of what we use.

From those that are published with the operators: rabbitmq/cluster-operator and messaging-topology-operator,
mongodb/mongodb-kubernetes, cert-manager, KEDA, Cilium, the External Secrets Operator and the Prometheus Operator. An
API server drops a field that it does not know, without a word; here it is an error.
"""

from __future__ import annotations

from typing import Any

ANYTHING: dict[str, Any] = {}


def fields(required: str = "", optional: str = "", **schemas: Any) -> dict[str, Any]:
    """Return the schema of an object with these fields, separated by blanks, and no other."""
    names = [*required.split(), *optional.split()]
    assert set(schemas) <= set(names)
    return {
        "type": "object",
        "required": required.split(),
        "properties": {name: schemas.get(name, ANYTHING) for name in names},
        "additionalProperties": False,
    }


def each(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a list of such things, which is not empty."""
    return {"type": "array", "items": schema, "minItems": 1}


def one_of(*values: str) -> dict[str, Any]:
    """Return the schema of a choice."""
    return {"enum": list(values)}


def resource(api_version: str, required: str = "", optional: str = "", **schemas: Any) -> dict[str, Any]:
    """Return the schema of a resource whose `spec` has these fields."""
    return {
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {"apiVersion": {"const": api_version}, "spec": fields(required, optional, **schemas)},
    }


NAME = fields("name")
CLUSTER = {"rabbitmqClusterReference": NAME}
DNS = fields("toEndpoints toPorts", toPorts=each(fields("ports", "rules")))
HOSTS = fields("toFQDNs toPorts", toPorts=each(fields("ports", "rules")))

DEFINITIONS = {
    "RabbitmqCluster": resource(
        "rabbitmq.com/v1beta1",
        optional="replicas image tls persistence resources rabbitmq override",
        tls=fields(optional="secretName caSecretName disableNonTLSListeners"),
        persistence=fields(optional="storage storageClassName"),
        resources=fields(optional="requests limits"),
        rabbitmq=fields(optional="additionalConfig additionalPlugins advancedConfig envConfig erlangInetConfig"),
        override=fields(optional="statefulSet service"),
    ),
    "Exchange": resource(
        "rabbitmq.com/v1beta1", "name rabbitmqClusterReference", "type durable autoDelete arguments vhost", **CLUSTER
    ),
    "Queue": resource(
        "rabbitmq.com/v1beta1", "name rabbitmqClusterReference", "type durable autoDelete arguments vhost", **CLUSTER
    ),
    "Binding": resource(
        "rabbitmq.com/v1beta1",
        "rabbitmqClusterReference",
        "source destination destinationType routingKey arguments vhost",
        destinationType=one_of("queue", "exchange"),
        **CLUSTER,
    ),
    "User": resource(
        "rabbitmq.com/v1beta1",
        "rabbitmqClusterReference",
        "tags importCredentialsSecret",
        importCredentialsSecret=NAME,
        tags={"items": one_of("management", "policymaker", "monitoring", "administrator")},
        **CLUSTER,
    ),
    "Permission": resource(
        "rabbitmq.com/v1beta1",
        "permissions rabbitmqClusterReference vhost",
        "user userReference",
        permissions=fields(optional="configure write read"),
        userReference=NAME,
        **CLUSTER,
    ),
    "TopicPermission": resource(
        "rabbitmq.com/v1beta1",
        "permissions rabbitmqClusterReference vhost",
        "user userReference",
        permissions=fields("exchange", "write read"),
        userReference=NAME,
        **CLUSTER,
    ),
    "Policy": resource(
        "rabbitmq.com/v1beta1",
        "name pattern definition rabbitmqClusterReference",
        "applyTo priority vhost",
        applyTo=one_of("queues", "classic_queues", "quorum_queues", "exchanges", "all"),
        **CLUSTER,
    ),
    "MongoDBCommunity": resource(
        "mongodbcommunity.mongodb.com/v1",
        "security type users",
        "members version statefulSet",
        type=one_of("ReplicaSet"),
        security=fields(
            optional="authentication tls roles",
            authentication=fields("modes", modes=each(one_of("SCRAM", "SCRAM-SHA-256", "SCRAM-SHA-1", "X509"))),
            tls=fields(
                "enabled",
                "optional certificateKeySecretRef caCertificateSecretRef",
                certificateKeySecretRef=NAME,
                caCertificateSecretRef=NAME,
            ),
            roles=each(
                fields(
                    "db privileges role",
                    "roles",
                    privileges=each(
                        fields("actions resource", resource=fields(optional="db collection cluster anyResource"))
                    ),
                    roles={"items": fields("db name")},
                )
            ),
        ),
        statefulSet=fields("spec"),
        users=each(
            fields(
                "name roles",
                "db passwordSecretRef scramCredentialsSecretName connectionStringSecretName"
                " additionalConnectionStringConfig",
                passwordSecretRef=fields("name", "key"),
                roles=each(fields("db name")),
            )
        ),
    ),
    "Issuer": resource("cert-manager.io/v1", optional="selfSigned ca", selfSigned=fields(), ca=fields("secretName")),
    "Certificate": resource(
        "cert-manager.io/v1",
        "issuerRef secretName",
        "isCA commonName dnsNames duration renewBefore privateKey",
        issuerRef=fields("name", "kind group"),
        privateKey=fields(optional="algorithm size encoding rotationPolicy"),
    ),
    "ScaledObject": resource(
        "keda.sh/v1alpha1",
        "scaleTargetRef triggers",
        "minReplicaCount maxReplicaCount pollingInterval cooldownPeriod",
        scaleTargetRef=fields("name", "apiVersion kind"),
        triggers=each(
            fields("type metadata", "authenticationRef name metricType", authenticationRef=fields("name", "kind"))
        ),
    ),
    "TriggerAuthentication": resource(
        "keda.sh/v1alpha1", optional="secretTargetRef", secretTargetRef=each(fields("parameter name key"))
    ),
    "CiliumNetworkPolicy": resource("cilium.io/v2", "endpointSelector egress", egress=each({"oneOf": [DNS, HOSTS]})),
    "ExternalSecret": resource(
        "external-secrets.io/v1",
        "secretStoreRef",
        "refreshInterval target dataFrom",
        secretStoreRef=fields(optional="name kind"),
        target=fields(optional="name creationPolicy"),
        dataFrom=each(fields(optional="extract", extract=fields("key"))),
    ),
    "PodMonitor": resource(
        "monitoring.coreos.com/v1",
        "selector podMetricsEndpoints",
        podMetricsEndpoints=each(
            fields(
                optional="port path interval relabelings",
                relabelings=each(fields(optional="sourceLabels targetLabel replacement regex action separator")),
            )
        ),
    ),
    "PrometheusRule": resource(
        "monitoring.coreos.com/v1",
        "groups",
        groups=each(
            fields("name rules", "interval", rules=each(fields("expr", "alert record for labels annotations")))
        ),
    ),
}
"""Kind → JSON Schema."""
