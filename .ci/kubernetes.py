"""Checks what is in deploy/kubernetes, offline: against Kubernetes' schemas of several versions, KEDA's object against a
schema of ours, and what no schema knows: that pods have the least rights, and that names fit each other."""

import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

FOLDER = pathlib.Path(__file__).parent.parent / "deploy/kubernetes"
VERSIONS = ["1.31", "1.34", "1.37"]


def documents():
    for path in sorted(FOLDER.glob("*.yaml")):
        if path.name != "nats-values.yaml":
            yield from ((path.name, one) for one in yaml.safe_load_all(path.read_text()) if one)


def check_pod(pod):
    assert pod["automountServiceAccountToken"] is False
    user = pod["securityContext"]
    assert user["runAsNonRoot"] and user["runAsUser"] == 65532
    assert user["seccompProfile"] == {"type": "RuntimeDefault"}
    volumes = {volume["name"] for volume in pod["volumes"]}
    for container in pod["initContainers"] + pod["containers"]:
        rights = container["securityContext"]
        assert rights["readOnlyRootFilesystem"] and not rights["allowPrivilegeEscalation"]
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert {"requests", "limits"} == set(container["resources"])
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def check_names(found):
    """A selector that selects nothing, or a target that is not there, is no error to any server."""
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in found if "template" in one.get("spec", {})]
    deployments = {one["metadata"]["name"] for one in found if one["kind"] == "Deployment"}
    for one in found:
        spec = one.get("spec", {})
        for selector in (spec.get("selector"), spec.get("podSelector")):
            wanted = (selector or {}).get("matchLabels", {}).items()
            assert any(wanted <= label.items() for label in labels), one["metadata"]["name"]
        if one["kind"] == "ScaledObject":
            assert spec["scaleTargetRef"]["name"] in deployments
        if one["kind"] == "Deployment":
            spread = spec["template"]["spec"]["topologySpreadConstraints"]
            assert all(rule["labelSelector"] == spec["selector"] for rule in spread)
            for container in spec["template"]["spec"]["containers"]:
                assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
                assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def main():
    schema = json.loads((FOLDER / "scaledobject.schema.json").read_text())
    found = []
    for name, one in documents():
        kind = one["kind"]
        if kind == "Kustomization":
            for resource in one["resources"] + one["configMapGenerator"][0]["files"]:
                assert (FOLDER / resource).is_file(), resource
            continue
        found.append(one)
        if kind == "ScaledObject":
            jsonschema.validate(one, schema)
        else:
            for version in VERSIONS:
                kubernetes_validate.validate(one, version, strict=True)
        if kind in ("Deployment", "Job"):
            check_pod(one["spec"]["template"]["spec"])
        if kind == "Job":
            # It cannot be changed. One that stayed would be in the way of the next `kubectl apply`.
            assert one["spec"]["ttlSecondsAfterFinished"] <= 600
        print(f"{name}: {kind} {one['metadata']['name']}")
    assert len(found) >= 10, "most of it is missing"
    check_names(found)
    values = yaml.safe_load((FOLDER / "nats-values.yaml").read_text())
    assert values["config"]["cluster"]["replicas"] == 3
    assert values["config"]["merge"]["zz$include"] == "../subrosa/accounts.conf"


if __name__ == "__main__":
    sys.exit(main())
