package edit

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// network keeps the names of network interfaces. Names follow the place of a
// card on its bus, and the target's bus is another; addresses, routes and
// firewalls are configured by name. Pinning the name leaves all of them alone.
type network struct{}

func (network) Name() string                { return "network" }
func (network) Applies(f *guest.Facts) bool { return f.OS.Type == "linux" && len(f.NICs) > 0 }

func (e network) Plan(ctx context.Context, s *Staged, job Job) error {
	nics := physical(job.Facts.NICs)
	if len(nics) == 0 {
		return ctx.Err()
	}
	if err := e.persistentRules(s, job, nics); err != nil {
		return err
	}
	if !namesByLinkFiles(s) {
		return e.addRules(s, job, nics)
	}
	return e.linkFiles(s, job, nics)
}

func (e network) why(text string) Reason { return Reason{Edit: e.Name(), Text: text} }

// virtualNames are interfaces that software makes; they keep their names anyway.
var virtualNames = regexp.MustCompile(`^(lo$|br|bond|team|vlan|virbr|docker|veth|dummy|tun|tap|wg|ppp|sit|gre|ip6|macv|ipv|ib|wl|ww|usb)|[.:]`)

// physical are the network cards among the interfaces, each once.
func physical(all []guest.NIC) []guest.NIC {
	var out []guest.NIC
	for _, nic := range all {
		same := func(o guest.NIC) bool { return o.Name == nic.Name }
		if nic.Name == "" || virtualNames.MatchString(nic.Name) || slices.ContainsFunc(out, same) {
			continue
		}
		out = append(out, nic)
	}
	return out
}

// namesByLinkFiles: udev names interfaces by systemd.link(5) since version 209,
// and the rule that does it came with it.
func namesByLinkFiles(v guest.View) bool {
	return guest.Exists(v, "/usr/lib/udev/rules.d/80-net-setup-link.rules") ||
		guest.Exists(v, "/lib/udev/rules.d/80-net-setup-link.rules")
}

// linkPrefix sorts before 73-usb-net-by-mac.link and 99-default.link: only the
// first file that matches is applied.
const linkPrefix = "/etc/systemd/network/70-vmconv-"

func (e network) linkFiles(s *Staged, job Job, nics []guest.NIC) error {
	if len(nics) > 1 && slices.ContainsFunc(nics, func(n guest.NIC) bool { return n.MAC == "" }) {
		s.Warn(e.Name(), "no file tells which of %d network cards is which: attach them in the order %s", len(nics), order(nics))
	}
	for i, nic := range nics {
		why := e.why(fmt.Sprintf("the network card keeps the name %s that %s uses", nic.Name, nic.Source))
		text := linkFile(nic, i, len(nics), job.Needs.NICDriver)
		if err := s.WriteFile(linkPrefix+nic.Name+".link", blockdev.FromBytes([]byte(text)), 0o644, why); err != nil {
			return err
		}
	}
	return nil
}

// linkFile pins the name of the card with an index. The only card is known by
// the target's driver, and so whatever address it is given there; one of several
// by its address, or else by the order in which the kernel finds them. Type=ether
// leaves out the VLANs, bonds and bridges that share an address (their types are
// their own: systemd.link(5)).
func linkFile(nic guest.NIC, index, count int, driver string) string {
	match := fmt.Sprintf("OriginalName=eth%d", index)
	switch {
	case count == 1 && driver != "":
		match = "Driver=" + driver
	case nic.MAC != "":
		match = "MACAddress=" + nic.MAC
	}
	return "# Keeps the name that this system's network configuration uses.\n" +
		"[Match]\n" + match + "\nType=ether\n\n[Link]\nName=" + nic.Name + "\n"
}

func order(nics []guest.NIC) string {
	list := make([]string, len(nics))
	for i, nic := range nics {
		list[i] = nic.Name
	}
	return strings.Join(list, ", ")
}

// The file in which udev before version 209 remembers names, written by its
// 75-persistent-net-generator.rules.
const persistentNet = "/etc/udev/rules.d/70-persistent-net.rules"

var (
	addressMatch = regexp.MustCompile(`ATTR\{address\}==`)
	busMatch     = regexp.MustCompile(`(?:DRIVERS=="(?:[^"?*]+)"|KERNELS=="[^"]*"|ID=="[^"]*")\s*,\s*`)
)

// persistentRules drops the conditions that name the source's bus and driver
// from rules that know the card by its address.
func (e network) persistentRules(s *Staged, job Job, nics []guest.NIC) error {
	return s.rewrite(persistentNet, job, e.why("names of network cards do not depend on the bus"), func(text []byte) []byte {
		return eachLine(text, func(number int, line string) string {
			switch {
			case strings.HasPrefix(strings.TrimSpace(line), "#") || !busMatch.MatchString(line):
				return line
			case !addressMatch.MatchString(line) && len(nics) > 1:
				s.Warn(e.Name(), "%s:%d knows a network card by its place on the bus only; left as it is", persistentNet, number)
				return line
			}
			return busMatch.ReplaceAllString(line, "")
		})
	})
}

// addRules pins names for an udev that knows no link files. A card whose address
// no file tells gets the kernel's name.
func (e network) addRules(s *Staged, job Job, nics []guest.NIC) error {
	if !guest.IsDir(s, "/etc/udev/rules.d") {
		return nil
	}
	var text []byte
	if guest.IsFile(s, persistentNet) {
		var err error
		if text, err = guest.ReadFile(s, persistentNet, job.Limits.OrDefault().Text); err != nil {
			return err
		}
	}
	for i, nic := range nics {
		if strings.Contains(string(text), `NAME="`+nic.Name+`"`) {
			continue
		}
		if nic.MAC == "" {
			if nic.Name != fmt.Sprintf("eth%d", i) {
				s.Warn(e.Name(), "no file tells the address of %s; it will be called eth%d", nic.Name, i)
			}
			continue
		}
		text = append(endLine(text), fmt.Sprintf(
			"SUBSYSTEM==\"net\", ACTION==\"add\", ATTR{address}==\"%s\", ATTR{type}==\"1\", KERNEL==\"eth*\", NAME=\"%s\"\n",
			nic.MAC, nic.Name)...)
	}
	if len(text) == 0 {
		return nil
	}
	return s.WriteFile(persistentNet, blockdev.FromBytes(text), 0o644, e.why("network cards keep their names"))
}

// endLine ends the last line of text, when it is not.
func endLine(text []byte) []byte {
	if len(text) > 0 && text[len(text)-1] != '\n' {
		return append(slices.Clip(text), '\n')
	}
	return slices.Clip(text)
}
