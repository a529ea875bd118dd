//go:build linux

package edit

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmconv/vmconv/pkg/imagefmt/testtool"
)

// TestFilters asks LVM itself which of two devices each filter takes.
func TestFilters(t *testing.T) {
	dir := t.TempDir()
	lvm := func(filter, command string, args ...string) string {
		conf := fmt.Sprintf(`devices { filter=%s use_devicesfile=0 } global { locking_dir=%q } backup { backup=0 archive=0 }`, filter, dir)
		return testtool.Run(t, "lvm", append([]string{command, "--driverloaded", "n", "--config", conf}, args...)...)
	}
	var loops []string
	for i := range 2 {
		file := filepath.Join(dir, fmt.Sprint(i))
		must(t, os.WriteFile(file, make([]byte, 8<<20), 0o600))
		loop := strings.TrimSpace(testtool.Run(t, "losetup", "--find", "--show", file))
		t.Cleanup(func() { testtool.Run(t, "losetup", "--detach", loop) })
		loops = append(loops, loop)
	}
	only := fmt.Sprintf(`[ "a|^%s$|", "a|^%s$|", "r|.*|" ]`, loops[0], loops[1])
	lvm(only, "pvcreate", loops...)
	for _, filter := range []string{
		only,
		fmt.Sprintf(`[ "a|%s$|", "r|.*|" ]`, loops[0]),
		fmt.Sprintf(`[ "r/%s$/", "a/loop/", "r/.*/" ]`, strings.ReplaceAll(loops[1], "/", ".")),
		fmt.Sprintf(`[ "a(%s|%s)", "r{.*}" ]`, loops[0], loops[1]),
		fmt.Sprintf(`[ "r|%s|" ]`, loops[0]),
		`"r|/dev/loop|"`,
		`[ "a|^/dev/(sd|loop)[0-9]+$|", "r|.*|" ]`,
	} {
		listed := lvm(filter, "pvs", "--noheadings", "-o", "pv_name")
		text := []byte("devices {\n\tfilter = " + filter + "\n}\n")
		filters := lvmFilters(text)
		if len(filters) != 1 {
			t.Errorf("%s: %d filters", filter, len(filters))
			continue
		}
		for _, loop := range loops {
			want := strings.Contains(listed, loop)
			if got, known := filters[0].accepts([]string{loop}); !known || got != want {
				t.Errorf("%s: %s: %t, known %t; LVM says %t", filter, loop, got, known, want)
			}
		}
		device := lvmDevice{name: loops[0], needed: true}
		wide := lvmFilters(lvmConf(text, []lvmDevice{device}))[0]
		if taken, _ := wide.accepts([]string{loops[0]}); !taken {
			t.Errorf("%s does not take %s when it is widened", filter, loops[0])
		}
		again := string(lvmConf(lvmConf(text, []lvmDevice{device}), []lvmDevice{device}))
		if again != string(lvmConf(text, []lvmDevice{device})) {
			t.Errorf("%s grows each time: %s", filter, again)
		}
		conf := strings.TrimSpace(strings.TrimPrefix(strings.Split(string(lvmConf(text, []lvmDevice{device})), "\n")[1], "\tfilter ="))
		if out := lvm(conf, "pvs", "--noheadings", "-o", "pv_name"); !strings.Contains(out, loops[0]) {
			t.Errorf("LVM does not find %s by %s", loops[0], conf)
		}
	}
}

func FuzzLVMConf(f *testing.F) {
	f.Add(`filter = [ "a|^/dev/xvd|", "r|.*|" ]`)
	f.Add("devices/global_filter=\"r(x)\"\nfilter = [ # x\n\"a/\\\"/\" ")
	device := []lvmDevice{{name: "/dev/vda2", prefix: "vd", before: []string{"/dev/xvda2"}, pvid: "x", needed: true}}
	f.Fuzz(func(t *testing.T, text string) {
		once := lvmConf([]byte(text), device)
		if twice := lvmConf(once, device); string(twice) != string(once) {
			t.Errorf("%q becomes %q and then %q", text, once, twice)
		}
		lvmDeviceList([]byte(text), device)
	})
}
