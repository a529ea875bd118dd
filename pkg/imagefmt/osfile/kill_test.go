package osfile

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/vmconv/vmconv/pkg/imagefmt/imagefmttest"
)

// killEnv names, in a process of this test, the file that it changes without end.
const killEnv = "OSFILE_TEST_CHANGES"

const killSize = 3 << 20

// killState is one of the two contents that the file has in turn.
func killState(i int) []byte { return imagefmttest.Pattern(0, killSize, uint64(i%2)) }

// TestMain is the program that TestKilled kills, when it is told to be.
func TestMain(m *testing.M) {
	path := os.Getenv(killEnv)
	if path == "" {
		os.Exit(m.Run())
	}
	for i := 0; ; i++ {
		if err := replace(path, killState(i)); err != nil {
			println(err.Error())
			os.Exit(1)
		}
	}
}

func replace(path string, content []byte) error {
	txn := Begin(TxnOptions{})
	defer txn.Close()
	f, err := txn.File(context.Background(), path)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(content, 0); err != nil {
		return err
	}
	return txn.Commit(context.Background())
}

// TestKilled kills a process that commits transactions, at random moments: the
// file is one or the other, for who reads and for who recovers.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.img")
	if err := os.WriteFile(path, killState(0), 0o644); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	replayed := 0
	for range 12 {
		killOne(t, path, time.Duration(20+r.IntN(100))*time.Millisecond)
		src, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		state := killState(0)
		if !first(t, src, state) {
			state = killState(1)
		}
		imagefmttest.Device(t, src, state)
		src.Close()
		done, err := Recover(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if done {
			replayed++
		}
		if got, _ := os.ReadFile(path); !bytes.Equal(got, state) {
			t.Fatal("the recovery left something else than the reader saw")
		}
	}
	if names := namesIn(t, filepath.Dir(path)); len(names) != 1 {
		t.Errorf("left: %v", names)
	}
	t.Logf("%d of 12 kills left a log to replay", replayed)
}

func killOne(t *testing.T, path string, after time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killEnv+"="+path)
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	cmd.Wait()
	if out.Len() > 0 {
		t.Fatalf("the process failed by itself: %s", out.String())
	}
}
