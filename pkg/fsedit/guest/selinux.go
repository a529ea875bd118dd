package guest

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/selinux"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// SELinux is how a guest labels its files.
type SELinux struct {
	Mode   string `json:"mode"`             // "enforcing", "permissive", "disabled"; empty when the configuration says none
	Policy string `json:"policy,omitempty"` // "targeted"; empty when no policy of that name is installed
	Config string `json:"config"`           // file that says so
}

// readSELinux is nil for a guest that has no configuration of SELinux.
func readSELinux(v View, limit int64, kernels []Kernel) *SELinux {
	text, err := ReadFile(v, selinux.ConfigPath, limit)
	if err != nil {
		return nil
	}
	c := selinux.ParseConfig(text)
	out := &SELinux{Mode: string(c.Mode), Config: selinux.ConfigPath}
	if IsDir(v, "/etc/selinux/"+c.Policy+"/contexts/files") && c.Policy != "" {
		out.Policy = c.Policy
	}
	for _, k := range kernels {
		if k.Default && slices.Contains(strings.Fields(k.Args), "selinux=0") {
			out.Mode = string(selinux.Disabled)
		}
	}
	return out
}

// FileContexts are those of the guest's SELinux policy; nil when the guest labels
// no files. An error means that it does, and that nobody can say how.
func FileContexts(v View, limits ondisk.Limits) (*selinux.Contexts, error) {
	limit := limits.OrDefault().Text
	read := func(p string) ([]byte, error) {
		text, err := ReadFile(v, p, limit)
		if errors.Is(err, filesys.ErrNotDir) {
			err = fs.ErrNotExist
		}
		return text, err
	}
	return selinux.Load(read, selinux.Options{Limits: limits})
}
