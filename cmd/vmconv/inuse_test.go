//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTwoEdits keeps an edit waiting in the user's editor: until it ends nobody
// else may change the image, and nobody reads it half changed.
func TestTwoEdits(t *testing.T) {
	img := newDisk(t, "24M", "ext4", system(map[string][]byte{"etc/hosts": []byte("one\n")}))
	dir := t.TempDir()
	here, done := filepath.Join(dir, "here"), filepath.Join(dir, "done")
	first := program("edit", img, "/etc/hosts")
	first.Env = append(os.Environ(), fmt.Sprintf(`EDITOR=sh -c 'echo two > "$1"; : > %s; until test -e %s; do sleep 0.02; done' sh`, here, done))
	var talk bytes.Buffer
	first.Stderr = &talk
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	appears(t, here)
	for _, args := range [][]string{
		{"edit", img, "/etc/hosts", "-e", "s/one/three/"},
		{"cp", os.Args[0], img + ":/root"},
		{"convert", "--in-place", img, "--to", "kvm"},
		{"cat", img, "/etc/hosts"},
		{"convert", img, "-O", "qcow2", "-o", filepath.Join(dir, "out.qcow2")},
	} {
		wants(t, 9, args, "in use", "hint: ")
	}
	if err := os.WriteFile(done, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := first.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, talk.String())
	}
	if got := wants(t, 0, []string{"cat", img, "/etc/hosts"}).stdout; got != "two\n" {
		t.Errorf("the file holds %q", got)
	}
	judge(t, img, "raw")
	alone(t, img)
}

// TestEditsAtOnce starts several edits together. Who wins is chance; what the
// image holds afterwards is what the winners wrote.
func TestEditsAtOnce(t *testing.T) {
	const edits = 8
	files := map[string][]byte{}
	for i := range edits {
		files[fmt.Sprintf("srv/file%d", i)] = []byte("old\n")
	}
	img := newDisk(t, "24M", "ext4", system(files))
	var cmds [edits]*exec.Cmd
	for i := range cmds {
		cmds[i] = program("edit", img, fmt.Sprintf("/srv/file%d", i), "-e", "s/old/new/")
		if err := cmds[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	won := 0
	for i, cmd := range cmds {
		cmd.Wait()
		want := "old\n"
		switch code := exitOf(cmd.ProcessState); code {
		case 0:
			won++
			want = "new\n"
		case 9:
		default:
			t.Errorf("edit %d: exit code %d", i, code)
		}
		defer func() {
			if got := command(t, "cat", img, fmt.Sprintf("/srv/file%d", i)); got != want {
				t.Errorf("edit %d: the file holds %q, want %q", i, got, want)
			}
		}()
	}
	t.Logf("%d of %d won", won, edits)
	if won == 0 {
		t.Error("nobody won")
	}
	judge(t, img, "raw")
	alone(t, img)
}

// appears waits for a file.
func appears(t testing.TB, path string) {
	t.Helper()
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
	}
	t.Fatalf("%s did not appear", path)
}

// leftIn are the names in a folder.
func leftIn(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}
