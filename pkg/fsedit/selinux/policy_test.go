package selinux

import (
	"compress/gzip"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// local is what an administrator may add to the policy.
var local = map[string]string{
	"file_contexts.local": `# by semanage fcontext
/srv/www(/.*)?	system_u:object_r:httpd_sys_content_t:s0
/srv/www/secret	--	system_u:object_r:shadow_t:s0
/srv/www/plain	<<none>>
/srv/a\-b/c	system_u:object_r:etc_t:s0
/a\-b/c	system_u:object_r:etc_t:s0
/a\.b/c	system_u:object_r:etc_t:s0
/one|/two	system_u:object_r:mnt_t:s0
/st/one|/two	system_u:object_r:mnt_t:s0
/twice	system_u:object_r:etc_t:s0
/twice	system_u:object_r:bin_t:s0
/class/[]x]+[[:digit:]]	system_u:object_r:etc_t:s0
/class/(a[(|]|b)c?	system_u:object_r:bin_t:s0
/bytes/[^/][^/]	system_u:object_r:etc_t:s0
/lazy/a{0,2}?b*c{2}	system_u:object_r:etc_t:s0
`,
	"file_contexts.subs": "/opt/www /srv/www\n/opt /usr\n/opt/www/x /etc\n# /etc /usr\n/chain /bin\n/all /\n",
}

// policy writes a policy's files to a folder, and gives that of file_contexts.
func policy(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"file_contexts", "file_contexts.homedirs"} {
		f, err := os.Open(filepath.Join("testdata", name+".gz"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, name), string(text))
	}
	dist, err := os.ReadFile("testdata/file_contexts.subs_dist")
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "file_contexts.subs_dist"), string(dist))
	for name, text := range local {
		put(t, filepath.Join(dir, name), text)
	}
	return dir
}

func put(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// from reads a guest's configuration of the policy in a folder.
func from(dir string) func(string) ([]byte, error) {
	return func(p string) ([]byte, error) {
		if p == ConfigPath {
			return []byte("SELINUX=enforcing\nSELINUXTYPE=default\n"), nil
		}
		if !strings.HasPrefix(p, "/etc/selinux/default/contexts/files/") {
			return nil, fs.ErrNotExist
		}
		return os.ReadFile(filepath.Join(dir, path.Base(p)))
	}
}

func load(t testing.TB, read func(string) ([]byte, error)) *Contexts {
	t.Helper()
	c, err := Load(read, Options{})
	if err != nil || c == nil {
		t.Fatal(c, err)
	}
	return c
}
