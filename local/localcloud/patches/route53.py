"""Route 53."""

from __future__ import annotations

from typing import Any

from moto.route53 import models

from localcloud.patches import Client, restores


@restores("A record that was deleted can be created again")
def create_again() -> None:
    stock = models.FakeZone.delete_rrset

    def delete(self: Any, rrset: dict[str, Any]) -> None:
        stock(self, rrset)
        # Creating looks for the same change in the zone's history, not for the record.
        gone = (rrset["Name"].strip("."), rrset["Type"])
        changes = [(change, change["ResourceRecordSet"]) for change in self.rr_changes]
        self.rr_changes[:] = [change for change, row in changes if (row["Name"].strip("."), row["Type"]) != gone]

    models.FakeZone.delete_rrset = delete


@create_again.shown_by
def _create_again(client: Client) -> bool:
    route53 = client("route53")
    zone = route53.create_hosted_zone(Name="probe.test", CallerReference="probe")["HostedZone"]["Id"]

    def change(action: str, name: str) -> None:
        row = {"Name": name, "Type": "A", "TTL": 300, "ResourceRecords": [{"Value": "192.0.2.1"}]}
        changes = {"Changes": [{"Action": action, "ResourceRecordSet": row}]}
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=changes)

    change("CREATE", "b.probe.test")
    for action in ("CREATE", "DELETE", "CREATE"):
        change(action, "a.probe.test")
    return len(route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]) == 4
