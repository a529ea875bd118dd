// Command vmconv moves a guest between hypervisors on its disk, without running
// it, and reads and edits the files of a stopped guest. It is the only place
// that prints, logs, reads flags and picks exit codes.
package main

import (
	"os"
	"runtime/debug"
)

// memoryLimit is where the collector begins to work harder: what is in use stays
// far below it, and the garbage of a large change shall not double that.
const memoryLimit = 128 << 20

func main() {
	debug.SetMemoryLimit(memoryLimit)
	os.Exit(vmconv())
}

// vmconv runs the command line of this process.
func vmconv() int {
	return run(os.Args[1:], environment{
		stdin:  os.Stdin,
		stdout: os.Stdout,
		stderr: os.Stderr,
		lookup: os.LookupEnv,
	})
}
