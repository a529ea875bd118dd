package testtool

import (
	"strings"
	"testing"
)

// Img runs qemu-img, which must succeed, and returns what it printed. The command
// is its words; @ in them stands for the folder dir.
func Img(t testing.TB, dir, command string) string {
	t.Helper()
	out, err := TryImg(t, dir, command)
	if err != nil {
		t.Fatalf("qemu-img %s: %v\n%s", command, err, out)
	}
	return out
}

// TryImg is Img for a run that may fail.
func TryImg(t testing.TB, dir, command string) (string, error) {
	t.Helper()
	// Nothing in a test has to survive a crash of the host.
	command = strings.Replace(command, "convert ", "convert -t unsafe ", 1)
	return Try(t, "qemu-img", strings.Fields(strings.ReplaceAll(command, "@", dir+"/"))...)
}

// IO runs qemu-io commands on an image, all of which must succeed.
func IO(t testing.TB, format, image string, commands ...string) {
	t.Helper()
	args := []string{"-t", "unsafe", "-f", format}
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	if out := Run(t, "qemu-io", append(args, image)...); strings.Contains(out, "failed") {
		t.Fatalf("qemu-io %v: %s", commands, out)
	}
}
