<?php

declare(strict_types=1);

require dirname(__DIR__) . '/shop.php';

(new Shop(require dirname(__DIR__) . '/app/etc/env.php'))->answer();
