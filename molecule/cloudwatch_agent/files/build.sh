#!/bin/sh
# build.sh <version> <package>: a package with the paths and the unit of Amazon's, which is in no Debian mirror.
set -e
root=$(mktemp --directory)
agent=$root/opt/aws/amazon-cloudwatch-agent
mkdir -p "$root/DEBIAN" "$agent/bin" "$agent/etc" "$root/etc/systemd/system"
cat > "$root/DEBIAN/control" <<END
Package: amazon-cloudwatch-agent
Version: $1
Architecture: all
Maintainer: nobody <nobody@example.com>
Description: shape of the CloudWatch agent
END
install -m 755 /srv/agent.py "$agent/bin/start-amazon-cloudwatch-agent"
cat > "$root/etc/systemd/system/amazon-cloudwatch-agent.service" <<'END'
[Service]
ExecStart=/opt/aws/amazon-cloudwatch-agent/bin/start-amazon-cloudwatch-agent
[Install]
WantedBy=multi-user.target
END
chmod 755 "$root"
dpkg-deb --build "$root" "$2"
rm -r "$root"
