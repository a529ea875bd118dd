package vmdef

import (
	"bytes"
	"encoding/xml"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Kind is a kind of description.
type Kind string

// The kinds that [Detect] tells apart. [KindHyperV] and [KindVirtualBox] are known
// by name only.
const (
	KindUnknown    Kind = ""
	KindOVF        Kind = "ovf"
	KindVMX        Kind = "vmx"
	KindLibvirt    Kind = "libvirt"
	KindXL         Kind = "xl"
	KindHyperV     Kind = "hyperv"
	KindVirtualBox Kind = "vbox"
)

// Detect tells what a file describes by its first bytes; some KiB suffice.
func Detect(head []byte) Kind {
	head = unmark(head)
	text := bytes.TrimSpace(head)
	switch {
	case len(text) == 0 || bytes.IndexByte(text, 0) >= 0:
		return KindUnknown
	case text[0] == '<':
		return detectXML(text)
	}
	return detectText(string(text))
}

// detectXML goes by the root element.
func detectXML(text []byte) Kind {
	if i := bytes.Index(text, []byte("?>")); bytes.HasPrefix(text, []byte("<?xml")) && i > 0 {
		text = text[i+2:] // it may name an encoding
	}
	d := xml.NewDecoder(bytes.NewReader(text))
	for {
		token, err := d.Token()
		if err != nil {
			return KindUnknown
		}
		root, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		return map[string]Kind{
			"Envelope": KindOVF, "domain": KindLibvirt, "configuration": KindHyperV, "VirtualBox": KindVirtualBox,
		}[root.Name.Local]
	}
}

var (
	vmxMarks = wordSet("config.version virtualhw.version displayname guestos memsize .encoding")
	xlMarks  = wordSet("name memory maxmem vcpus disk vif builder type kernel ramdisk bootloader on_crash extra")
)

// detectText goes by the names of settings: two that are typical decide.
func detectText(text string) Kind {
	vmx, xl := map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if value == "" {
			continue
		}
		if key := strings.ToLower(name); vmxMarks[key] {
			vmx[key] = true
		}
		if xlMarks[name] && strings.ContainsRune(`'"[0123456789`, rune(value[0])) {
			xl[name] = true
		}
	}
	switch {
	case len(vmx) >= 2:
		return KindVMX
	case len(xl) >= 2:
		return KindXL
	}
	return KindUnknown
}

// Parse reads a description of any kind that has a reader. Only OVF describes
// several machines.
func Parse(kind Kind, data []byte, limits ondisk.Limits) ([]VM, []string, error) {
	one := func(vm VM, warnings []string, err error) ([]VM, []string, error) {
		if err != nil {
			return nil, nil, err
		}
		return []VM{vm}, warnings, nil
	}
	switch kind {
	case KindOVF:
		e, warnings, err := ParseOVF(data, limits)
		return e.Systems, warnings, err
	case KindVMX:
		return one(ParseVMX(data, limits))
	case KindLibvirt:
		return one(ParseLibvirt(data, limits))
	case KindXL:
		return one(ParseXL(data, limits))
	case KindUnknown:
		return nil, nil, ondisk.At("description", "content", ondisk.NoOffset).Format("not the description of a machine")
	}
	return nil, nil, ondisk.At("description", "content", ondisk.NoOffset).Unsupported("a description of %s; convert its disk images by themselves", kind)
}
