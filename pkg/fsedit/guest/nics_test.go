package guest

import (
	"fmt"
	"strings"
	"testing"
)

func TestReadNICs(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"interfaces", map[string]string{
			"etc/network/interfaces":          "source /etc/network/interfaces.d/*\nauto lo\niface lo inet loopback\nallow-hotplug eth0\niface eth0 inet dhcp\n\n# iface eth9 inet dhcp\n",
			"etc/network/interfaces.d/static": "auto eth1 \niface eth1 inet static\n  address 192.0.2.7\n  netmask 255.255.255.0\n  hwaddress ether 52:54:00:AA:BB:CC\niface eth1 inet6 auto\niface br0 inet dhcp\niface eth1.5 inet dhcp\n"},
			"eth0 dhcp interfaces\neth1 52:54:00:aa:bb:cc 192.0.2.7/24 static\n"},
		{"netplan", map[string]string{"etc/netplan/50-cloud-init.yaml": "# x\nnetwork:\n    version: 2\n    ethernets:\n        ens160:\n            dhcp4: true\n            match:\n                macaddress: \"00:50:56:AA:bb:01\"\n            set-name: ens160\n" +
			"        ens192:\n            addresses:\n            - 192.0.2.9/24\n            - 192.0.2.10/24\n            nameservers:\n                addresses: [1.1.1.1]\n        id0:\n            addresses: [\"10.0.0.1/8\", 10.0.0.2/8]\n            match: {}\n    vlans:\n        v1:\n            dhcp4: true\n"},
			"ens160 00:50:56:aa:bb:01 dhcp 50-cloud-init.yaml\nens192 192.0.2.9/24 50-cloud-init.yaml\nid0 10.0.0.1/8 50-cloud-init.yaml\n"},
		{"NetworkManager", map[string]string{"etc/NetworkManager/system-connections/a.nmconnection": "[connection]\nid=a\ntype=ethernet\ninterface-name=ens3\n[ethernet]\nmac-address=52:54:00:00:00:01\n[ipv4]\nmethod=auto\n",
			"etc/NetworkManager/system-connections/b": "[connection]\ntype=802-3-ethernet\ninterface-name=ens4\n[ipv4]\naddress1=192.0.2.3/24,192.0.2.1\nmethod=manual\n", "etc/NetworkManager/system-connections/w": "[connection]\ntype=wifi\ninterface-name=wlan0\n"},
			"ens3 52:54:00:00:00:01 dhcp a.nmconnection\nens4 192.0.2.3/24 b\n"},
		{"ifcfg", map[string]string{"etc/sysconfig/network-scripts/ifcfg-eth0": "DEVICE=\"eth0\"\nBOOTPROTO=dhcp\nHWADDR=52:54:00:00:00:02\n", "etc/sysconfig/network-scripts/ifcfg-lo": "DEVICE=lo\n",
			"etc/sysconfig/network-scripts/ifcfg-eth1": "DEVICE=eth1\nIPADDR=192.0.2.5\nNETMASK=255.255.255.128\n", "etc/sysconfig/network-scripts/ifcfg-eth1.bak": "DEVICE=eth7\n"},
			"eth0 52:54:00:00:00:02 dhcp ifcfg-eth0\neth1 192.0.2.5/25 ifcfg-eth1\n"},
		{"udev and systemd", map[string]string{"etc/udev/rules.d/70-persistent-net.rules": "# PCI\nSUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{address}==\"52:54:00:00:00:03\", ATTR{type}==\"1\", KERNEL==\"eth*\", NAME=\"eth0\"\n",
			"etc/systemd/network/10-a.link": "[Match]\nMACAddress=52-54-00-00-00-04\n[Link]\nName=lan0\n", "etc/systemd/network/20-b.network": "[Match]\nName=lan0 en*\n[Network]\nDHCP=yes\n", "var/lib/dhcp/dhclient.leases": "lease {\n  interface \"eth0\";\n}\n"},
			"eth0 52:54:00:00:00:03 dhcp 70-persistent-net.rules\nlan0 52:54:00:00:00:04 dhcp 20-b.network\n"},
		{"nothing", nil, ""},
	} {
		var b strings.Builder
		for _, n := range readNICs(fixture(c.files), testLimit) {
			fmt.Fprintln(&b, strings.Join(strings.Fields(strings.Join([]string{n.Name, n.MAC, n.Address, n.Source[strings.LastIndexByte(n.Source, '/')+1:]}, " ")), " "))
		}
		if b.String() != c.want {
			t.Errorf("%s:\n%snot\n%s", c.name, b.String(), c.want)
		}
	}
}

func FuzzReadNICs(f *testing.F) {
	f.Add("iface eth0 inet dhcp\n address 1.2.3.4\n netmask 255.0.0.0", "network:\n  ethernets:\n    a:\n      match:\n        macaddress: x\n", "[Match]\nName=a\nDEVICE=b\n")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		nics := readNICs(fixture(map[string]string{"etc/network/interfaces": a, "etc/netplan/x.yaml": b, "etc/systemd/network/x.network": c, "etc/systemd/network/x.link": c,
			"etc/sysconfig/network/ifcfg-x": c, "etc/udev/rules.d/70-persistent-net.rules": a, "var/lib/dhcp/x.leases": a, "etc/NetworkManager/system-connections/x": c}), testLimit)
		for _, n := range nics {
			if !validNIC(n.Name) || n.MAC != canonicalMAC(n.MAC) {
				t.Errorf("%+v", n)
			}
		}
	})
}
