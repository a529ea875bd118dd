package vmdef

import (
	"runtime"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// TestHostileCost reads the most expensive descriptions that the limits let in: the
// memory must be in proportion to the text, and the time must not be its square.
func TestHostileCost(t *testing.T) {
	const most = 512 << 20 // bytes allocated in all, for 16 MiB of text
	filler := strings.Repeat("x", 100)
	for name, c := range map[string]struct {
		kind Kind
		text string
	}{
		"items":     {KindOVF, "<Envelope><VirtualSystem><VirtualHardwareSection>" + strings.Repeat("<Item><ResourceType>10</ResourceType></Item>", maxNodes/5) + "</VirtualHardwareSection></VirtualSystem></Envelope>"},
		"text":      {KindOVF, "<Envelope>" + strings.Repeat(filler+"<!---->", maxNodes-3) + "</Envelope>"},
		"files":     {KindOVF, "<Envelope><References>" + strings.Repeat("<File href='a'/>", maxNodes/3) + "</References></Envelope>"},
		"disks":     {KindLibvirt, "<domain><os>" + strings.Repeat("<boot dev='fd'/>", maxNodes/8) + "</os><devices>" + strings.Repeat("<disk device='cdrom'/>", maxNodes/4) + "</devices></domain>"},
		"values":    {KindXL, "a = [" + strings.Repeat("'"+filler+"',", maxNodes-2) + "]"},
		"appending": {KindXL, "disk = []\n" + strings.Repeat("a = [1]\n", maxNodes/4) + strings.Repeat("disk += ['a,raw,b']\n", maxNodes/5)},
		"settings":  {KindVMX, strings.Repeat("scsi0:0.present = \""+filler+"\"\n", maxNodes-1)},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, _, err := Parse(c.kind, []byte(c.text), ondisk.Limits{}); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > most {
				t.Errorf("%d MiB allocated for %d MiB of text", n>>20, len(c.text)>>20)
			}
		})
	}
}
