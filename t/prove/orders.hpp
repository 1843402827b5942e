/*
 * What the models under the C11 memory orders share. MUTANT breaks a rule: the listed order of
 * one access is weakened, or a step moved or left out, and the simulation must then fail.
 */
#ifndef PLENUM_T_PROVE_ORDERS_HPP
#define PLENUM_T_PROVE_ORDERS_HPP

#include <relacy/relacy_std.hpp>

#ifndef MUTANT
#define MUTANT 0
#endif
#ifndef ITERATIONS
#define ITERATIONS 200000
#endif

/*
 * The order of an access, or the weaker one that mutant n gives it. The library's macros of the
 * orders carry the place in the source behind a comma, and so does this.
 */
#define ORDER(n, order, weaker) (MUTANT == (n) ? rl::mo_##weaker : rl::mo_##order), $

template<typename Test>
static int
run()
{
	rl::test_params p;

	p.iteration_count = ITERATIONS;
	p.execution_depth_limit = 400;
	return rl::simulate<Test>(p) ? 0 : 1;
}

#endif
