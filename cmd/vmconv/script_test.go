package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	os.Exit(testscript.RunMain(m, map[string]func() int{"vmconv": vmconv}))
}

// TestScript runs the commands as a user does: testdata/script/*.txt.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"tool":    runTool,
			"hash":    saveHash,
			"status":  runStatus,
			"guest":   makeGuest,
			"noparts": noParts,
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", env.Getenv("PATH")+":/usr/sbin:/sbin")
			env.Setenv("MKE2FS_DETERMINISTIC", "1")
			return nil
		},
	})
}

// runTool is exec for a program that has to be installed.
func runTool(ts *testscript.TestScript, neg bool, args []string) {
	if _, err := exec.LookPath(args[0]); err != nil {
		ts.Fatalf("this test needs %s: run scripts/setup", args[0])
	}
	err := ts.Exec(args[0], args[1:]...)
	if (err != nil) != neg {
		ts.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
}

// runStatus runs vmconv and wants one exit code: status 3 convert …
func runStatus(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec("vmconv", args[1:]...)
	code := 0
	if err != nil {
		exit, ok := err.(*exec.ExitError)
		if !ok {
			ts.Fatalf("vmconv: %v", err)
		}
		code = exit.ExitCode()
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("vmconv %s: exit code %d, not %s", strings.Join(args[1:], " "), code, args[0])
	}
}

// saveHash writes SHA-256 and time of a file: hash FILE OUT.
func saveHash(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	content, err := os.ReadFile(path)
	ts.Check(err)
	info, err := os.Stat(path)
	ts.Check(err)
	line := fmt.Sprintf("%x %v\n", sha256.Sum256(content), info.ModTime())
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(line), 0o600))
}

// diskScript builds a disk image of a folder, with an MBR and one partition of
// an ext filesystem at 1 MiB: IMAGE SIZE TYPE FOLDER.
const diskScript = `set -e
truncate -s "$2" "$1.part"
mke2fs -q -F -t "$3" -U 6e9b1e0e-7c50-4a6a-8f2e-1d2c3b4a5f60 -L root -d "$4" "$1.part"
truncate -s 1M "$1"
dd if="$1.part" of="$1" bs=1M seek=1 conv=sparse,notrunc status=none
printf 'label: dos\nlabel-id: 0x1badcafe\nstart=2048, type=83, bootable\n' | sfdisk -q --no-tell-kernel "$1"
rm "$1.part"`

// makeGuest builds a disk image of a folder: guest IMAGE FOLDER [SIZE [TYPE]],
// with an MBR and one partition of an ext filesystem at 1 MiB.
func makeGuest(ts *testscript.TestScript, _ bool, args []string) {
	size, kind := "64M", "ext4"
	if len(args) > 2 {
		size = args[2]
	}
	if len(args) > 3 {
		kind = args[3]
	}
	runTool(ts, false, []string{"sh", "-c", diskScript, "sh", ts.MkAbs(args[0]), size, kind, ts.MkAbs(args[1])})
}

// noParts wants no temporary output to be left in the folder.
func noParts(ts *testscript.TestScript, _ bool, args []string) {
	entries, err := os.ReadDir(ts.MkAbs("."))
	ts.Check(err)
	for _, e := range entries {
		if strings.Contains(e.Name(), "vmconv-") || strings.HasSuffix(e.Name(), ".part") {
			ts.Fatalf("%s was left behind", e.Name())
		}
	}
}
