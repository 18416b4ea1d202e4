const locking =
  /(^|_)(try|un|rd|wr|tryrd|trywr|timed)?lock(_|$)|(^|_)(mutex|spin|rwlock|read|write)_(try|un)?lock|^(percpu_)?(down|up)(_read|_write|_interruptible|_killable|_trylock|_timeout|_nested|_nest_lock|_non_owner)*$|^downgrade_write$|^sem_(wait|trywait|timedwait|post)$|^pthread_cond_(timed)?wait$|^release_sock$/;
/** By whole words: the freezer does not free anything. */
const management =
  /(^|_)(re|de)?(init|destroy|alloc|[kv]?free|new|create)(_|\d|$)|initiali[sz]e|(^|_)f?lock_?file|setlk|sysv/;
/** Questions whether a lock is held or how many there are, and tracing of locks. */
const watching = /_held(_|$)|_trace_|(^|_)lock_(count|stats?|name|owner|size|nr|num|info|class|key|id)$|_is_locked$/;

/** True for functions that take, release or wait for a lock, by their name. */
export const isLocking = (name: string): boolean =>
  locking.test(name) && !management.test(name) && !watching.test(name);

/** True for those that release one. */
export const isRelease = (name: string): boolean =>
  isLocking(name) && /unlock|^(percpu_)?up(_|$)|^sem_post$|^release_sock$/.test(name);

/** True for those after which the caller has the lock for sure: not for tries and those that can be interrupted. */
export const isAcquire = (name: string): boolean =>
  isLocking(name) &&
  !isRelease(name) &&
  !/(^|_)try|trylock|tryrd|trywr|interruptible|killable|timed|timeout|cond_wait|^downgrade_|_irqsave_cond|_sig(_|$)|_ww_|ww_mutex/.test(
    name,
  );
