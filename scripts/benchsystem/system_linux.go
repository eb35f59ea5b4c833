package main

import (
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// cpuOf returns the processor time that a process has used. The process's own
// clock counts nanoseconds; the times in /proc have a hundredth of a second.
func cpuOf(pid int) (time.Duration, error) {
	// As clock_getcpuclockid(3) makes it: the complement of the id, and the clock
	// of the scheduler.
	const scheduler = 2
	var at unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduler), &at); err == nil {
		return time.Duration(at.Nano()), nil
	}
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	return parseStat(string(text))
}

// memoryOf returns the resident memory of a process, now and at its peak, in bytes.
func memoryOf(pid int) (now, peak int64, err error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, 0, err
	}
	return parseStatus(string(text))
}

// resetPeak makes the peak of memoryOf begin anew (proc(5), clear_refs). Where
// that is refused, the peak is that since the start.
func resetPeak(pid int) {
	_ = os.WriteFile("/proc/"+strconv.Itoa(pid)+"/clear_refs", []byte("5"), 0o200)
}

func syncData(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }

// filesystems are the magic numbers of statfs(2) that matter: on tmpfs a sync
// costs nothing, and what is measured there says nothing of a disk.
var filesystems = map[int64]string{unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.TMPFS_MAGIC: "tmpfs", unix.OVERLAYFS_SUPER_MAGIC: "overlayfs"}

func filesystemOf(folder string) string {
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return "unknown"
	}
	magic := int64(s.Type) //nolint:unconvert // it has 32 bits on some architectures
	if name, ok := filesystems[magic]; ok {
		return name
	}
	return "0x" + strconv.FormatInt(magic, 16)
}

// waker wakes at a steady pace. The library's timers are as coarse as a
// millisecond where the process is idle, which would be the larger part of what
// an open loop measures.
type waker struct {
	timer *os.File
	fired [8]byte
}

func newWaker(start time.Time, every time.Duration) (*waker, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	spec := unix.ItimerSpec{
		Value:    unix.NsecToTimespec(max(time.Until(start), time.Nanosecond).Nanoseconds()),
		Interval: unix.NsecToTimespec(every.Nanoseconds()),
	}
	if err := unix.TimerfdSettime(fd, 0, &spec, nil); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("timerfd_settime", err)
	}
	return &waker{timer: os.NewFile(uintptr(fd), "timerfd")}, nil
}

func (w *waker) wait() error {
	_, err := w.timer.Read(w.fired[:])
	return err
}

func (w *waker) stop() { _ = w.timer.Close() }
